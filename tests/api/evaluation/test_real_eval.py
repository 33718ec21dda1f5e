"""`make real-eval`: its samples, its memory of what was answered, its page."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.conversation.memory import Memory
from api.conversation.opening import open_engine
from api.evaluation.play import PlayedTurn, Player
from api.evaluation.rows import CasesError
from api.events import Usage
from api.settings import load_settings
from tests.real.__main__ import open_settings, require_served, split_rows
from tests.real.kept import KeptPlayer
from tests.real.page import comparisons, costs
from tests.real.refusals import measure_refusals, unjudged
from tests.real.sample import draw_files, draw_unanswerable, turns

QUESTION = "배송비는 어떻게 설정하나요?"


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A folder with a hundred cases of each file; the two real ones ask the same questions."""
    asked = [f"질문 {n}" for n in range(100)]
    folder = tmp_path / "source"
    for name in ("answers", "real_answers"):
        _write(folder / f"{name}.jsonl", [{"query": f"{q} {name[:1]}"} for q in asked])
    labels = ["unanswerable", "in_scope", "in_scope", "off_topic", "injection"]
    scope = [{"text": f"{q} r", "label": labels[n % 5]} for n, q in enumerate(asked)]
    _write(folder / "real_scope.jsonl", scope)
    _write(folder / "dialogues.jsonl", [{"turns": [{"user": q}, {"user": "더"}]} for q in asked])
    return folder


def test_samples_are_fixed_and_a_larger_one_holds_the_smaller(cases: Path, tmp_path: Path) -> None:
    small = draw_files(cases, tmp_path / "small", 4)
    whole = draw_files(cases, tmp_path / "whole")
    assert {name: len(_rows(file)) for name, file in whole.items()} == {
        "real_answers": 40, "answers": 40, "real_scope": 40, "dialogues": 12,
    }  # fmt: skip
    for name, file in small.items():
        assert all(row in _rows(whole[name]) for row in _rows(file))
    assert sum(row["label"] == "unanswerable" for row in _rows(whole["real_scope"])) == 15
    assert turns(whole) == 40 * 3 + 12 * 2
    answerable = {row["text"] for row in _rows(whole["real_scope"]) if row["label"] != "unanswerable"}
    assert len(answerable & {row["query"] for row in _rows(whole["real_answers"])}) >= 15


async def test_kept_turn_is_not_played_again(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    async with open_engine(load_settings(data_dir=data_dir)) as engine:

        def player(**conditions: object) -> KeptPlayer:
            return KeptPlayer(
                engine.conversation, "extractive", file, conditions={"model": "a"} | conditions, turns=2
            )

        first = await player()(QUESTION)
        with file.open("a", encoding="utf-8") as broken:
            broken.write('{"key": "killed in the mid')
            broken.write("\n")
        again = player()
        assert await again(QUESTION) == first
        assert again.answered_by == {"extractive": 1}
        assert len(_rows_that_hold(file)) == 1
        await again("더 자세히", Memory((first.remembered(),)))
        await player(model="b")(QUESTION)
        assert len(_rows_that_hold(file)) == 3


async def test_a_model_alone_is_asked_what_the_verdict_would_turn_away(
    data_dir: Path, tmp_path: Path
) -> None:
    question = "오늘 저녁 여의도 맛집 추천해줘"
    settings = load_settings(data_dir=data_dir)
    async with open_engine(settings) as engine:
        judged = await Player(engine.conversation, "extractive")(question)
        alone = unjudged(engine, settings.conversation)
        with closing(alone.lanes):
            player = KeptPlayer(alone, "extractive", tmp_path / "kept.jsonl", conditions={}, turns=1)
            found = await measure_refusals(player, [{"text": question}])
    assert judged.verdict == "off_topic"
    assert found == [{"text": question, "refused": False, "answered": True}]


def test_refusals_are_drawn_from_what_no_faq_answers(cases: Path) -> None:
    drawn = draw_unanswerable(cases, 12)
    assert len(drawn) == 12
    assert {row["label"] for row in drawn} == {"unanswerable"}


def _rows_that_hold(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}}")]


def test_page_marks_what_is_outside_chance(tmp_path: Path) -> None:
    for name, cited in (("extractive", [0.0] * 12), ("base", [1.0] * 12), ("adapter", [0.0, 1.0] * 6)):
        rows = [{"id": str(n), "uncited": uncited, "chars": 100} for n, uncited in enumerate(cited)]
        _write(tmp_path / name / "answers.json", [{"per_case": rows}])
    folders = {name: tmp_path / name for name in ("extractive", "base", "adapter")}
    text = comparisons({"answers": "answers"}, folders)
    uncited = next(line for line in text.splitlines() if "| uncited |" in line)
    assert uncited.startswith(
        "| answers | uncited | 12 | 0.000 | 1.000 | 0.500 | **+1.000 (+1.000 to +1.000)** |"
    )
    few = {name: _first_rows(folder, tmp_path / "few" / name) for name, folder in folders.items()}
    assert "+1.000" in comparisons({"answers": "answers"}, few)
    assert "**" not in comparisons({"answers": "answers"}, few)
    assert "| answers | chars | 12 | 100 | 100 | 100 | +0 (+0 to +0) | +0 (+0 to +0) |" in text


def _first_rows(folder: Path, target: Path) -> Path:
    report = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    _write(target / "answers.json", [{"per_case": report["per_case"][:3]}])
    return target


def test_costs_leave_out_fixed_texts() -> None:
    fixed = PlayedTurn("가", "가", "off_topic", "안내", (), (), (), total_ms=5)
    written = replace(
        fixed, usage=Usage(prompt_tokens=900, completion_tokens=80), first_ms=2000, total_ms=9000
    )
    text = costs({"base": [fixed, written]})
    assert text.splitlines()[-1] == "| base | 2 | 1 | 900 | 80 | 2.0 | 9.0 | 9.0 | 0 | 0 | 0 |"


def test_scope_cases_are_compared_by_label() -> None:
    labels = ("unanswerable", "in_scope")
    rows = [{"id": label, "label": label, "right": True, "from_gold": False} for label in labels]
    split = split_rows("real_scope", "scope", rows)
    assert split == {
        "real_scope, in_scope": [rows[1]],
        "real_scope, unanswerable": [{"id": "unanswerable", "label": "unanswerable", "right": True}],
    }
    assert split_rows("answers", "answers", rows) == {"answers": rows}


def test_missing_server_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SMARTSTORE_CONFIG", "SMARTSTORE_CORPUS__FAQ"):
        monkeypatch.setenv(name, "configs/faq/sample.jsonl")
    for name in ("VLLM", "VLLM-BASE"):
        monkeypatch.setenv(f"SMARTSTORE_PROVIDERS__ENDPOINTS__{name}__MODEL", "")
    monkeypatch.setenv("SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM-BASE__BASE_URL", "http://127.0.0.1:9/v1")
    settings = open_settings("0.5b", "faq-20261122-1a2b3c4d", tmp_path)
    assert settings.providers.fallback == ()
    assert settings.providers.endpoints["vllm"].model == "faq-20261122-1a2b3c4d"
    with pytest.raises(CasesError, match="make real-model"):
        require_served(settings, "vllm-base")
