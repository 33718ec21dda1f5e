"""The encoder of e5-small: numbers of pieces in, one vector a text out.

A BERT (Devlin et al. 2018, arXiv:1810.04805) whose last layer is averaged over the text. All texts of a pass
stand in one matrix, so that each weight is read once for all of them; only attention looks at one text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from retrieval.embedders.adapter import normalised
from retrieval.embedders.e5.model_file import Floats, ModelFile, dequantized

_SQRT_HALF = np.float32(0.5**0.5)


@dataclass(frozen=True)
class _Layer:
    """Weights `(inputs, outputs)` and biases of one layer; query, key and value stand side by side."""

    attend: Floats
    attend_bias: Floats
    mix: Floats
    mix_bias: Floats
    mix_norm: tuple[Floats, Floats]
    widen: Floats
    widen_bias: Floats
    narrow: Floats
    narrow_bias: Floats
    norm: tuple[Floats, Floats]


class Encoder:
    """Holds the weights in float32 (85 MB; those of words stay packed in the file); thread-safe."""

    def __init__(self, file: ModelFile) -> None:
        """Unpacks the layers (0.15 s)."""
        shape = file.shape
        self._shape = shape
        self._words = file.packed("emb.word", shape.words, shape.width)
        self._places = (
            file.floats("emb.pos").reshape(-1, shape.width) + file.floats("emb.type")[: shape.width]
        )
        self._norm = file.floats("emb.ln.w"), file.floats("emb.ln.b")
        self._layers = [_layer(file, f"l{n}.") for n in range(shape.layers)]

    def vectors(self, texts: Sequence[list[int]]) -> Floats:
        """`(texts, width)` vectors of length 1."""
        bounds = list(pairwise(np.cumsum([0, *map(len, texts)]).tolist()))
        words = np.concatenate([np.asarray(numbers) for numbers in texts])
        places = np.concatenate([np.arange(len(numbers)) for numbers in texts])
        hidden = self._normed(dequantized(self._words[words]) + self._places[places], self._norm)
        for layer in self._layers:
            mixed = self._attended(hidden @ layer.attend + layer.attend_bias, bounds) @ layer.mix
            mixed += layer.mix_bias
            mixed += hidden
            hidden = self._normed(mixed, layer.mix_norm)
            wide = hidden @ layer.widen
            wide += layer.widen_bias
            narrow = _gelu(wide) @ layer.narrow
            narrow += layer.narrow_bias
            narrow += hidden
            hidden = self._normed(narrow, layer.norm)
        return normalised(np.stack([hidden[start:stop].mean(axis=0) for start, stop in bounds]))

    def _attended(self, asked: Floats, bounds: Sequence[tuple[int, int]]) -> Floats:
        """What each piece takes over from those of its own text; `asked` holds query, key, value."""
        width, heads = self._shape.width, self._shape.heads
        found = np.empty((len(asked), width), np.float32)
        scale = np.float32((width // heads) ** -0.5)
        for start, stop in bounds:
            parts = asked[start:stop].reshape(stop - start, 3, heads, -1).transpose(1, 2, 0, 3)
            shares = parts[0] @ parts[1].transpose(0, 2, 1)
            shares *= scale
            shares -= shares.max(axis=-1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=-1, keepdims=True)
            found[start:stop] = (shares @ parts[2]).transpose(1, 0, 2).reshape(stop - start, width)
        return found

    def _normed(self, hidden: Floats, norm: tuple[Floats, Floats]) -> Floats:
        """Layer normalisation, in place."""
        hidden -= hidden.mean(axis=1, keepdims=True)
        spread = np.einsum("ij,ij->i", hidden, hidden) / np.float32(self._shape.width)
        hidden *= (1 / np.sqrt(spread + np.float32(self._shape.epsilon)))[:, np.newaxis]
        hidden *= norm[0]
        hidden += norm[1]
        return hidden


def _layer(file: ModelFile, name: str) -> _Layer:
    width, inner = file.shape.width, file.shape.inner
    attend = [file.weights(f"{name}{part}.w", width, width) for part in "qkv"]
    return _Layer(
        np.concatenate(attend, axis=1),
        np.concatenate([file.floats(f"{name}{part}.b") for part in "qkv"]),
        file.weights(f"{name}ao.w", width, width),
        file.floats(f"{name}ao.b"),
        (file.floats(f"{name}aln.w"), file.floats(f"{name}aln.b")),
        file.weights(f"{name}fi.w", inner, width),
        file.floats(f"{name}fi.b"),
        file.weights(f"{name}fo.w", width, inner),
        file.floats(f"{name}fo.b"),
        (file.floats(f"{name}oln.w"), file.floats(f"{name}oln.b")),
    )


def _gelu(x: Floats) -> Floats:
    """GELU; the error function after Abramowitz and Stegun 7.1.25, wrong by 2.5e-5 at most."""
    size = np.abs(x)
    size *= _SQRT_HALF
    t = size * np.float32(0.47047)
    t += 1
    np.reciprocal(t, out=t)
    np.square(size, out=size)
    np.negative(size, out=size)
    rest = np.exp(size, out=size)
    share = t * np.float32(0.7478556)
    share -= np.float32(0.0958798)
    share *= t
    share += np.float32(0.3480242)
    share *= t
    rest *= share  # 1 - erf(|x| / sqrt(2))
    rest *= np.float32(0.5)
    rest *= np.abs(x)
    found: Floats = np.maximum(x, 0)
    found -= rest
    return found
