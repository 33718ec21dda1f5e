"""Reads a pickled question-to-answer dict without running any code that the file may carry.

Knows pickle's opcodes; does not know what a FAQ is (`corpus.py` does).

A pickle is a program. Two gates stand before it: every opcode must be on a list of those that build
strings and dicts, so that nothing is imported, called or set; and memo indices must be smaller than
the file, since the C unpickler allocates a table as large as the largest index.
See https://docs.python.org/3/library/pickle.html#restricting-globals.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import NoReturn

from retrieval.errors import CorpusError

_HINT = "Save it again with pickle.dump({question: answer, ...}), or use .jsonl or .csv."
_ALLOWED = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT",
    "GET", "BINGET", "LONG_BINGET", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "UNICODE",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
))  # fmt: skip
# Harmless, yet never part of a str-to-str dict: let through, so that the fault is told as a wrong type.
_WRONG_TYPE = frozenset((
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "FLOAT", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "EMPTY_LIST", "APPEND",
    "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_SET",
    "ADDITEMS", "FROZENSET",
))  # fmt: skip
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_MALFORMED = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError,
    AttributeError, OverflowError, MemoryError, RecursionError,
)  # fmt: skip


class _NoGlobals(pickle.Unpickler):
    """An unpickler to which no class or function exists."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"global {module_name}.{global_name}")


def read_pickle(data: bytes, path: Path) -> list[tuple[str, str]]:
    """Returns the pairs of a pickled `dict[str, str]`, in the order of the file.

    Args:
        data: the whole file.
        path: where it came from, for the error.

    Raises:
        CorpusError: the pickle is truncated or malformed, has bytes after its end, would import or
            call something, or is not a dict of strings.
    """
    try:
        _check_opcodes(data, path)
        loaded = _NoGlobals(io.BytesIO(data)).load()
    except _MALFORMED as exc:
        reason = f"is not a whole pickle (truncated or damaged: {exc})."
        raise CorpusError(path, reason, hint=_HINT) from exc
    if not isinstance(loaded, dict):
        raise CorpusError(path, f"holds a {type(loaded).__name__}, not a dict.", hint=_HINT)
    pairs: list[tuple[str, str]] = []
    for number, (question, answer) in enumerate(loaded.items(), start=1):
        for role, value in (("question", question), ("answer", answer)):
            if not isinstance(value, str):
                reason = f"entry {number}: the {role} is a {type(value).__name__}, not a str."
                raise CorpusError(path, reason, hint=_HINT)
        pairs.append((question, answer))
    return pairs


def _check_opcodes(data: bytes, path: Path) -> None:
    stream = io.BytesIO(data)
    for opcode, argument, position in pickletools.genops(stream):
        if opcode.name not in _ALLOWED and opcode.name not in _WRONG_TYPE:
            what = f" {argument}" if isinstance(argument, str) else ""
            reason = (
                f"is refused: byte {position} is {opcode.name}{what}, which builds or calls Python objects; "
                "a FAQ pickle may hold only a dict of strings."
            )
            raise CorpusError(path, reason, hint=_HINT)
        if opcode.name in _PUTS and isinstance(argument, int) and argument > len(data):
            raise CorpusError(path, f"is refused: memo index {argument} at byte {position}.", hint=_HINT)
    rest = len(data) - stream.tell()
    if rest:
        raise CorpusError(path, f"has {rest} bytes after the end of the pickle.", hint=_HINT)
