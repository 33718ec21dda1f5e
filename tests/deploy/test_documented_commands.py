"""The commands of the documents' blocks that can run here do: where no GPU is needed, else with `--dry-run`.

That all others are known to their programs, `tests/docs/test_commands.py` shows.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_commands import MODULE, ROOT, commands

DRY = ("finetune.train", "finetune.preference", "finetune.measure", "serving.launch", "serving.benchmark")
RUNS = ("finetune.preflight",)
HERE = [
    command
    for command, whole in commands(MODULE)
    if whole and command.split()[2] in RUNS + DRY
]  # fmt: skip


def test_pages_have_commands() -> None:
    assert {command.split()[2] for command in HERE} == {*RUNS, *DRY}


@pytest.mark.parametrize("command", HERE)
def test_documented_command_works(command: str, tmp_path: Path) -> None:
    _, _, module, *rest = shlex.split(command)
    if "--dummy-weights" in rest:
        (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
        rest += ["--tokenizer", str(tmp_path)]
    dry = [] if module in RUNS or "--dry-run" in rest else ["--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", module, *rest, *dry],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
