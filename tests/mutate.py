"""Breaks the code on purpose, one small change at a time, and counts what the tests notice: `make mutate`.

A sample of mutants is drawn with a fixed seed over the given folders. Each is tried in a copy of the
repository, against the tests of its room and every test that imports its module. A mutant that no test
notices is printed with its line. Needs the services that the tests need; takes about ten seconds a mutant.
"""

from __future__ import annotations

import argparse
import ast
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("api/access", "api/conversation", "api/turns", "api/work", "retrieval")
_COMPARED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", " is not ": " is ",
             " is ": " is not ", " not in ": " in ", " in ": " not in "}  # fmt: skip
_ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
# A mutant may make a loop endless: what takes so long has been noticed.
_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the bytes `start` to `end` of `path` become `text`."""

    path: Path
    line: int
    start: int
    end: int
    text: str

    def source(self) -> str:
        """The file with the change."""
        raw = (ROOT / self.path).read_bytes()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()

    def __str__(self) -> str:
        raw = (ROOT / self.path).read_bytes()
        return f"{self.path}:{self.line}: {raw[self.start : self.end].decode()!r} -> {self.text!r}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of one file, in the order of its lines; constants of types and texts are left alone."""
    raw = (ROOT / path).read_bytes()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def between(node: ast.expr, other: ast.expr) -> tuple[int, int]:
        return starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0), starts[
            other.lineno - 1
        ] + other.col_offset

    def whole(node: ast.expr | ast.stmt) -> tuple[int, int]:
        end = starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)
        return starts[node.lineno - 1] + node.col_offset, end

    def operator(node: ast.expr, other: ast.expr, old: str, new: str) -> Iterator[Mutant]:
        start, end = between(node, other)
        at = raw[start:end].find(old.encode())
        if at >= 0:
            yield Mutant(path, node.lineno, start + at, start + at + len(old.encode()), new)

    for node in _executed(ast.parse(raw)):
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                for old, new in _COMPARED.items():
                    if type(op) is type(_operator(old)):
                        yield from operator(left, right, old, new)
            case ast.BoolOp(op=op, values=[first, second, *_]):
                old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                yield from operator(first, second, old, new)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                yield from operator(left, right, *_ARITHMETIC[type(op)])
            case ast.UnaryOp(op=ast.Not()):
                yield Mutant(path, node.lineno, whole(node)[0], whole(node)[0] + len("not "), "")
            case ast.Constant(value=bool(value)):
                yield Mutant(path, node.lineno, *whole(node), str(not value))
            case ast.Constant(value=int(value) | float(value)):
                yield Mutant(path, node.lineno, *whole(node), repr(value * 2 + 1))
            case ast.Expr(value=ast.Call() | ast.Await()):
                yield Mutant(path, node.lineno, *whole(node), "None")
            case ast.If(test=test):
                yield Mutant(path, node.lineno, *whole(test), "False")


def _operator(text: str) -> ast.cmpop:
    expression = ast.parse(f"a{text}b", mode="eval").body
    assert isinstance(expression, ast.Compare)
    return expression.ops[0]


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that do something: not annotations, and not what only types need."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _executed(child)


def suite_of(path: Path) -> list[str]:
    """The tests of the file's room, and those that import its module."""
    module = ".".join(path.with_suffix("").parts)
    found = {str(test.relative_to(ROOT)) for test in (ROOT / "tests" / path.parent).glob("test_*.py")}
    for test in (ROOT / "tests").rglob("test_*.py"):
        if "browser" not in test.parts and f"{module} import" in test.read_text(encoding="utf-8"):
            found.add(str(test.relative_to(ROOT)))
    return sorted(found)


def noticed(mutant: Mutant, tree: Path) -> bool:
    """Whether a test fails while `tree`, a copy of the repository, holds the mutant."""
    file, original = tree / mutant.path, (ROOT / mutant.path).read_text(encoding="utf-8")
    tests = suite_of(mutant.path)
    if not tests:
        return False
    file.write_text(mutant.source(), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--timeout=60", *tests]
        ended = subprocess.run(command, cwd=tree, capture_output=True, timeout=_TIMEOUT_S)
        return ended.returncode == 1 or ended.returncode == 2
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(original, encoding="utf-8")


def main() -> int:
    """Prints the mutants that survive and the share killed by room; 1 where it is below `--least`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--least", type=float, default=0.0, help="the share that must be killed")
    options = parser.parse_args()
    files = [path for folder in options.folders for path in sorted((ROOT / folder).rglob("*.py"))]
    every = [mutant for file in files for mutant in mutants(file.relative_to(ROOT))]
    sample = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    killed, tried = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "var", ".*_cache"))
        for number, mutant in enumerate(sample, 1):
            room = "retrieval" if mutant.path.parts[0] == "retrieval" else "/".join(mutant.path.parts[:2])
            tried[room] += 1
            if noticed(mutant, tree):
                killed[room] += 1
            else:
                print(f"survived {mutant}", flush=True)
            if number % 10 == 0:
                print(f"{number} of {len(sample)}, {killed.total() / number:.0%} killed", flush=True)
    for room in sorted(tried):
        print(f"{room}: {killed[room]} of {tried[room]} killed ({killed[room] / tried[room]:.0%})")
    share = killed.total() / max(1, tried.total())
    print(f"seed {options.seed}: {killed.total()} of {tried.total()} killed ({share:.0%})")
    return 1 if share < options.least else 0


if __name__ == "__main__":
    sys.exit(main())
