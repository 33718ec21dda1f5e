"""Every command of docs/finetuning.md and docs/serving.md: run where no GPU is needed, else with `--dry-run`.

What needs a running vLLM or a trained adapter is held to its own help: the command and each option exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRY = ("finetune.train", "finetune.preference", "finetune.measure", "serving.launch", "serving.benchmark")
RUNS = ("finetune.preflight",)


def commands() -> list[str]:
    """The lines of both pages' blocks that start one of our programs, without their comments."""
    found = []
    for page in ("finetuning", "serving"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for block in re.findall(r"```(?:console)?\n(.*?)```", text, re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                line.split("  #")[0].strip() for line in lines if line.startswith(("python -m ", "smart"))
            ]
    return list(dict.fromkeys(found))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_pages_have_commands() -> None:
    assert len(commands()) >= 12


@pytest.mark.parametrize("command", commands())
def test_documented_command_works(command: str, tmp_path: Path) -> None:
    words = shlex.split(command.replace("[", "").replace("]", ""))
    if words[0] == "smartstore":
        program, rest = [sys.executable, "-m", "api.cli"], words[1:]
    else:
        program, rest = [sys.executable, "-m", words[2]], words[3:]
    module = program[-1]
    if "--dummy-weights" in rest:
        (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
        rest += ["--tokenizer", str(tmp_path)]
    if module in RUNS + DRY:
        dry = [] if module in RUNS or "--dry-run" in rest else ["--dry-run"]
        done = _run(*program, *rest, *dry)
        assert done.returncode == 0, done.stderr
        return
    verbs = [word for word in rest if not word.startswith("-")][:2] if module == "api.cli" else []
    told = _run(*program, *verbs, "--help")
    assert told.returncode == 0, told.stderr
    for option in (word for word in rest if word.startswith("--")):
        assert option in told.stdout
