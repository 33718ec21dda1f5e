"""Breaks the code on purpose, one small change at a time, and counts what the tests notice: `make mutate`.

As many mutants are drawn of each folder, with a fixed seed. Each is tried in a copy of the repository,
against every test that imports its module and those of its room; before a folder's first one, all its tests
must pass on the copy. A mutant that no test notices is printed with its line. What was tried is kept in a
file: a run that was interrupted goes on from there. Needs the services that the tests need.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("api/access", "api/conversation", "api/turns", "api/work", "retrieval")
_COMPARED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", " is not ": " is ",
             " is ": " is not ", " not in ": " in ", " in ": " not in "}  # fmt: skip
_ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
# A mutant may make a loop endless: what takes so long has been noticed.
_TIMEOUT_S = 240
_FAILED = (1, 2)
# What the rooms of the API do together: turns over HTTP.
_TOGETHER = ("tests/api/web/test_chat_http.py", "tests/api/web/test_providers_route.py")


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
        column = self.start - raw.rfind(b"\n", 0, self.start)
        return f"{self.path}:{self.line}:{column}: {raw[self.start : self.end].decode()!r} -> {self.text!r}"


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
    """The tests of the file's room, or of the nearest room above, and those that import its module.

    First those of the room that import it, which fail soonest; last the other rooms', which start servers.
    """
    module = ".".join(path.with_suffix("").parts)
    room: set[Path] = next(filter(None, (set(_tests(folder).glob("test_*.py")) for folder in path.parents)))
    importers = {
        test
        for test in (ROOT / "tests").rglob("test_*.py")
        if "browser" not in test.parts and f"{module} import" in test.read_text(encoding="utf-8")
    }
    together = {ROOT / test for test in _TOGETHER} if path.parts[0] == "api" else set()
    elsewhere = (importers | together) - room
    ordered = [*sorted(room & importers), *sorted(room - importers), *sorted(elsewhere)]
    return [str(test.relative_to(ROOT)) for test in ordered]


def _tests(folder: Path) -> Path:
    return ROOT / "tests" / folder


def status_of(tests: Iterable[str], tree: Path, *options: str, timeout_s: float | None = None) -> int:
    """Pytest's exit status on `tree`, a copy of the repository; 1 where it takes too long.

    What it prints is kept beside the copy. Nothing that it started goes on after it.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=60", *options, *tests]
    # A group of its own: a mutant may leave servers behind.
    with (
        (tree.parent / "pytest.txt").open("wb") as printed,
        subprocess.Popen(
            command, cwd=tree, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        ) as pytest,
    ):
        try:
            return pytest.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return 1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pytest.pid, signal.SIGKILL)


def noticed(mutant: Mutant, tree: Path) -> bool:
    """Whether a test fails while `tree`, a copy of the repository, holds the mutant."""
    file = tree / mutant.path
    original = file.read_bytes()
    file.write_text(mutant.source(), encoding="utf-8")
    try:
        return status_of(suite_of(mutant.path), tree, "-x", timeout_s=_TIMEOUT_S) in _FAILED
    finally:
        file.write_bytes(original)


def drawn(folder: str, *, sample: int, seed: int) -> list[Mutant]:
    """Mutants of a folder, in the order in which they are tried."""
    files = (file.relative_to(ROOT) for file in sorted((ROOT / folder).rglob("*.py")))
    every = [mutant for file in files for mutant in mutants(file)]
    return random.Random(f"{seed} {folder}").sample(every, min(sample, len(every)))


def main() -> int:
    """Prints the mutants that survive and the share killed by room; 1 where it is below `--least`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--sample", type=int, default=50, help="mutants of each folder")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--least", type=float, default=0.0, help="the share that must be killed")
    parser.add_argument("--kept", type=Path, default=ROOT / "var" / "mutate", help="remove it to begin anew")
    options = parser.parse_args()
    tree = options.kept / "tree"
    ignored = shutil.ignore_patterns(".git", ".venv*", "var", ".*_cache")
    shutil.copytree(ROOT, tree, ignore=ignored, dirs_exist_ok=True)
    file = options.kept / "tried.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    outcomes = {what: outcome for outcome, _, what in (line.partition(" ") for line in lines)}
    killed, tried = Counter[str](), Counter[str]()
    for folder in options.folders:
        sample = drawn(folder, sample=options.sample, seed=options.seed)
        suite = sorted({test for mutant in sample for test in suite_of(mutant.path)})
        if folder not in outcomes:
            if status_of(suite, tree):
                print(f"{folder}: tests fail without a mutant: {tree.parent / 'pytest.txt'}", file=sys.stderr)
                return 2
            outcomes[folder] = _keep(file, "passed", folder)
        for mutant in sample:
            if str(mutant) not in outcomes:
                outcomes[str(mutant)] = _keep(file, "killed" if noticed(mutant, tree) else "survived", mutant)
            tried[folder] += 1
            killed[folder] += outcomes[str(mutant)] == "killed"
        print(f"{folder}: {killed[folder]} of {tried[folder]} killed ({killed[folder] / tried[folder]:.0%})")
    share = killed.total() / max(1, tried.total())
    print(f"seed {options.seed}: {killed.total()} of {tried.total()} killed ({share:.0%})")
    return 1 if share < options.least else 0


def _keep(file: Path, outcome: str, what: object) -> str:
    """Writes an outcome down, for a run that goes on after this one; returns it."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{outcome} {what}\n")
    print(outcome, what, flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
