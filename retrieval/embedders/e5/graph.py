"""Writes a graph of operators as ONNX Runtime reads it.

An ONNX model is one protobuf message; the few fields that are needed are written here, so that the package
`onnx` is none of ours. Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, encoding:
https://protobuf.dev/programming-guides/encoding. Operators: https://onnx.ai/onnx/operators and, of the domain
`com.microsoft`, https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from itertools import count
from struct import pack
from typing import Any

from numpy.typing import NDArray

MICROSOFT = "com.microsoft"
_VERSIONS = {"": 20, MICROSOFT: 1}  # of the sets of operators
_FLOAT = 1
_TYPES = {"float32": _FLOAT, "uint8": 2}


class Graph:
    """Operators in the order in which they run, and the constants they need; values go by name."""

    def __init__(self) -> None:
        self._nodes, self._constants, self._names = list[bytes](), list[bytes](), count()

    def constant(self, array: NDArray[Any]) -> str:
        """Adds weights; returns their name."""
        name = f"c{next(self._names)}"
        dims = b"".join(_number(1, size) for size in array.shape)
        kind = _number(2, _TYPES[array.dtype.name])
        self._constants.append(_bytes(5, dims + kind + _bytes(8, name) + _bytes(9, array.tobytes())))
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: int | float) -> str:
        """Adds an operator; returns the name of what it gives. An input that is left out is `""`."""
        name = f"v{next(self._names)}"
        fields = [_bytes(1, value) for value in inputs]
        fields += [_bytes(2, name), _bytes(4, operator), _bytes(7, domain)]
        fields += [_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(_bytes(1, b"".join(fields)))
        return name

    def model(self, entry: str, output: str, dims: tuple[int | str, ...]) -> bytes:
        """The whole model.

        Args:
            entry: name of the value that is put in.
            output: name of the value that comes out.
            dims: sizes of both, which are float32; one that may be any is a word.
        """
        sizes = [_number(1, size) if isinstance(size, int) else _bytes(2, size) for size in dims]
        shape = b"".join(_bytes(1, size) for size in sizes)
        kind = _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, shape)))
        ends = [_bytes(11, _bytes(1, entry) + kind), _bytes(12, _bytes(1, output) + kind)]
        graph = [*self._nodes, _bytes(2, "graph"), *self._constants, *ends]
        versions = [_bytes(8, _bytes(1, name) + _number(2, number)) for name, number in _VERSIONS.items()]
        # Joined once: it holds all the weights.
        return b"".join([_number(1, 9), *versions, _head(7, sum(map(len, graph))), *graph])


def _attribute(name: str, value: int | float) -> bytes:
    if isinstance(value, float):
        return _bytes(1, name) + _varint(2 << 3 | 5) + pack("<f", value) + _number(20, 1)
    return _bytes(1, name) + _number(3, value) + _number(20, 2)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return _head(field, len(value)) + value


def _head(field: int, size: int) -> bytes:
    """What stands before `size` bytes."""
    return _varint(field << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first. Negative ones are not needed here."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
