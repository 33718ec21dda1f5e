"""Every command that the README and the documents name: its program, its words and its options exist.

The program's own parser reads the command, and nothing runs. Those that can run, `tests/deploy` runs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from api.cli import app, mount

ROOT = Path(__file__).resolve().parents[2]
MODULE = r"python -m \w+\.\S+"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Stands for words of a command, or is left out: `…`, `[--dry-run]` is `--dry-run`.
_LEFT_OUT = re.compile(r"…|\.\.\.|[\[\]]")
# Ends the program before it does anything: its parser has read the command.
_PARSE = """
import argparse, runpy, sys
class Parsed(SystemExit): pass
parse = argparse.ArgumentParser.parse_args
def parse_args(self, args=None, namespace=None):
    parse(self, args, namespace)
    raise Parsed(77)
argparse.ArgumentParser.parse_args = parse_args
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def commands(program: str) -> list[tuple[str, bool]]:
    """The commands of one program, each once: as written, and whether it is whole.

    One in a block is there to be typed and is whole; one within a text may leave out what it needs.
    """
    found: dict[str, bool] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
        typed = "".join(blocks).replace("\\\n", " ").splitlines()
        named = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line, whole in [*((line, True) for line in typed), *((line, False) for line in named)]:
            command = re.split(r"\s#|\s[|>]\s", line)[0].strip()
            if re.match(rf"{program}(\s|$)", command):
                found |= {each: whole or found.get(each, False) for each in _alternatives(command)}
    return sorted(found.items())


def _alternatives(line: str) -> list[str]:
    """`a b\\|c` of a table is `a b` and `a c`."""
    words = [word.split("\\|") for word in _LEFT_OUT.sub("", line).split(" ") if word]
    return [" ".join(words) for words in product(*words)]


@cache
def _smartstore() -> typer.core.TyperGroup:
    mount()
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    return command


@cache
def _makefile() -> str:
    done = subprocess.run(
        ["make", "--print-data-base", "--question", "--no-builtin-rules"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return done.stdout


def check_smartstore(words: list[str], *, whole: bool) -> None:
    """Raises for a sub-command, an option or a word that `smartstore` does not know, or one that it needs."""
    command: typer.core.TyperGroup | typer.core.TyperCommand = _smartstore()
    context = command.make_context("smartstore", ["settings"], resilient_parsing=True)
    while isinstance(command, typer.core.TyperGroup) and words:
        name, *words = words
        inner = command.get_command(context, name)
        assert isinstance(inner, typer.core.TyperGroup | typer.core.TyperCommand), f"no command {name!r}"
        command, context = inner, type(context)(inner, parent=context, info_name=name)
    if not whole and words and words[-1].startswith("--"):
        words.append("VALUE")
    given, more, _ = command.make_parser(context).parse_args(words)
    if isinstance(command, typer.core.TyperCommand):
        assert not [word for word in more if word != "VALUE"], f"words too many: {more}"
        lacking = [p.name for p in command.params if p.required and not given.get(p.name or "")]
        assert not (whole and lacking), f"needs: {', '.join(map(str, lacking))}"


def check_make(words: list[str]) -> None:
    """Raises for a target, or a variable given to one, that the Makefile does not know."""
    for word in words:
        name, given, _ = word.partition("=")
        if given:
            text = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"\$[({{](if )?(\$\()?{name}\b|^{name}\s*[?:]?=", text, re.MULTILINE), word
            continue
        # `drill-NAME` stands for each of them.
        target = re.sub(r"[A-Z]+$", r"\\S+", re.escape(name))
        assert re.search(rf"^{target}:", _makefile(), re.MULTILINE), f"no target {name!r}"


@pytest.mark.parametrize(("command", "whole"), commands("smartstore"))
def test_documented_smartstore_command_is_parsed(command: str, whole: bool) -> None:
    check_smartstore(shlex.split(command)[1:], whole=whole)


@pytest.mark.parametrize("command", [command for command, _ in commands("make")])
def test_documented_make_target_exists(command: str) -> None:
    check_make(shlex.split(command)[1:])


@pytest.mark.parametrize(("command", "whole"), commands(MODULE))
def test_documented_module_parses_its_command(command: str, whole: bool) -> None:
    _, _, module, *words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, module, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    lacks = "the following arguments are required" in done.stderr
    assert done.returncode == 77 or (lacks and not whole and not words), done.stderr


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("serv", "no command 'serv'"),
        ("serve --nothing", "No such option"),
        ("index build now", "words too many"),
        ("keys make", "no command 'make'"),
        ("adapters promote", "needs: name"),
    ],
)
def test_a_smartstore_command_that_does_not_exist_is_found(words: str, fault: str) -> None:
    with pytest.raises(Exception, match=fault):
        check_smartstore(words.split(), whole=True)


@pytest.mark.parametrize("words", ["nothing", "run NOTHING=1"])
def test_a_make_target_that_does_not_exist_is_found(words: str) -> None:
    with pytest.raises(AssertionError):
        check_make(words.split())
