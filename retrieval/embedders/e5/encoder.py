"""The encoder of e5-small on ONNX Runtime: numbers of pieces in, the vector of one text out.

A BERT (Devlin et al. 2018, arXiv:1810.04805) whose last layer is averaged over the text. The 4-bit weights
are multiplied as they are, with activations rounded to 8 bits by blocks of 32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime

from retrieval.embedders.e5.graph import MICROSOFT, Graph
from retrieval.embedders.e5.model_file import BLOCK, Floats, ModelFile, dequantized

_ENTRY = "pieces"
_EIGHT_BIT = 4  # the level of accuracy of MatMulNBits that computes with whole numbers


class Encoder:
    """Holds the layers; the weights of words stay packed in the file. Thread-safe.

    A text is computed by the thread that asks, without the interpreter lock: as many at once as cores allow.
    """

    def __init__(self, file: ModelFile) -> None:
        """Builds the graph and has ONNX Runtime pack its weights."""
        shape = file.shape
        self._words = file.packed("emb.word", shape.words, shape.width)
        self._places = (
            file.floats("emb.pos").reshape(-1, shape.width) + file.floats("emb.type")[: shape.width]
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # What a text needs is given back after it: an arena keeps the most that was ever needed at once.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        # Nothing is left to fuse, but for the sum and the norm after it: joined they take five times as long.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            _Network(file).model(), options, providers=["CPUExecutionProvider"]
        )

    def vector(self, numbers: Sequence[int]) -> Floats:
        """The mean of the last layer over the text, `(width,)`; its length is not 1."""
        pieces = dequantized(self._words[np.asarray(numbers)]) + self._places[: len(numbers)]
        found: Floats = self._session.run(None, {_ENTRY: pieces[np.newaxis]})[0][0].mean(axis=0)
        return found


class _Network:
    """The graph of the encoder, written with the tensors of a file."""

    def __init__(self, file: ModelFile) -> None:
        self._file, self._graph = file, Graph()

    def model(self) -> bytes:
        """From the sums of words and places to the last layer, `(1, length, width)` both."""
        shape, graph = self._file.shape, self._graph
        hidden = self._normed("emb.ln", _ENTRY)
        for layer in (f"l{number}." for number in range(shape.layers)):
            asked = [self._product(hidden, f"{layer}{part}", shape.width, shape.width) for part in "qkv"]
            mixed = graph.node("MultiHeadAttention", *asked, domain=MICROSOFT, num_heads=shape.heads)
            mixed = self._product(mixed, f"{layer}ao", shape.width, shape.width)
            hidden = self._normed(f"{layer}aln", graph.node("Add", mixed, hidden))
            wide = graph.node("Gelu", self._product(hidden, f"{layer}fi", shape.inner, shape.width))
            narrow = self._product(wide, f"{layer}fo", shape.width, shape.inner)
            hidden = self._normed(f"{layer}oln", graph.node("Add", narrow, hidden))
        return graph.model(_ENTRY, hidden, (1, "length", shape.width))

    def _product(self, value: str, name: str, outputs: int, inputs: int) -> str:
        """`value` times a matrix of weights, plus its bias."""
        numbers, scales = self._file.four_bit(f"{name}.w", outputs, inputs)
        weights = [self._graph.constant(part) for part in (numbers, scales)]
        bias = self._graph.constant(self._file.floats(f"{name}.b"))
        unused = "", ""  # zero points, which are 8 as in the file, and an order of blocks
        sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": _EIGHT_BIT}
        return self._graph.node("MatMulNBits", value, *weights, *unused, bias, domain=MICROSOFT, **sizes)

    def _normed(self, name: str, value: str) -> str:
        weights = [self._graph.constant(self._file.floats(f"{name}.{part}")) for part in "wb"]
        return self._graph.node("LayerNormalization", value, *weights, epsilon=self._file.shape.epsilon)
