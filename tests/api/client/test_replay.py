"""The demo: conversations replayed against the real stack, and the document they make."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from api.client.demo_document import Setting, render
from api.client.replay import ReplayedTurn, Scenario, read_scenarios
from api.errors import CommandError
from api.events import REFUSAL, Source, Suggestion, TurnCompleted
from tests.api.live import ROOT, Live, smartstore

SCENARIOS = ROOT / "configs" / "demo" / "scenarios.yaml"
SAMPLE = ROOT / "configs" / "faq" / "sample.jsonl"


def run_demo(data_dir: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return smartstore(data_dir, "demo", "--out", str(out), *arguments)


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def test_scenarios_hold_the_four_that_the_demo_promises() -> None:
    scenarios = read_scenarios(SCENARIOS)
    asked = [[step.ask for step in scenario.turns] for scenario in scenarios]
    assert len(scenarios) >= 4
    assert asked[0][:2] == ["미성년자도 판매 회원 등록이 가능한가요?", "그럼 서류는 뭐가 필요해?"]
    assert scenarios[0].turns[-1].take == 1
    assert ["오늘 저녁에 여의도 가려는데 맛집 추천좀 해줄래?"] in asked
    assert any(len(turns) >= 4 for turns in asked)


def test_demo_replays_a_running_server_and_writes_what_it_said(live: Live, tmp_path: Path) -> None:
    out = tmp_path / "새 폴더" / "demo.md"
    done = run_demo(live.data_dir, out, "--url", live.url)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert "configs/faq/sample.jsonl" in text
    assert "실행 중인 서버" in text
    turns = [step for scenario in read_scenarios(SCENARIOS) for step in scenario.turns]
    assert text.count("\n### 질문") == len(turns)
    for step in turns:
        assert f"### 질문: {step.ask}\n" in text if step.ask else "(제안 1번을 고름)" in text
    first, refused = text.split("\n## ")[1:3]
    assert "판정: 답함" in first
    assert "만 14세 이상이면 가입할 수 있습니다" in first
    # The second question leans on the first: its answer is about minors' papers.
    second = first.split("\n### 질문")[2]
    assert "판정: 답함" in second
    assert "미성년자" in second
    assert "서류" in second
    assert f"\n> {REFUSAL}\n" in refused
    assert "이어서 물을 수 있는 질문" in refused


def test_demo_without_a_server_asks_in_its_own_process(data_dir: Path, tmp_path: Path) -> None:
    scenarios = tmp_path / "one.yaml"
    scenarios.write_text(
        "- title: 배송비\n  about: 한 마디입니다.\n  turns:\n    - ask: 배송비는 어떻게 정해요?\n"
        "    - take: 2\n",
        encoding="utf-8",
    )
    out = tmp_path / "demo.md"
    own = {"SMARTSTORE_SERVER__PORT": "9"}
    done = smartstore(data_dir, "demo", "--out", str(out), "--scenarios", str(scenarios), **own)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert "서버 없이" in text
    assert "### 질문 (제안 2번을 고름): " in text
    offered = re.findall(r"^2\. (.+)$", text, re.MULTILINE)
    assert offered


@pytest.mark.parametrize(
    ("yaml", "fault"),
    [
        ("[", "not YAML"),
        ("just: a mapping", "file"),
        ("- title: 가\n  about: 나\n  turns: []", "0.turns"),
        ("- title: 가\n  about: 나\n  turns: [{ask: 다, take: 1}]", "either"),
        ("- title: 가\n  about: 나\n  turns: [{tell: 다}]", "0.turns.0.tell"),
    ],
)
def test_faulty_scenarios_are_one_clear_message(tmp_path: Path, yaml: str, fault: str) -> None:
    path = tmp_path / "scenarios.yaml"
    path.write_text(yaml, encoding="utf-8")
    with pytest.raises(CommandError, match=fault):
        read_scenarios(path)


def test_follow_up_that_was_not_offered_writes_nothing(live: Live, tmp_path: Path) -> None:
    scenarios = tmp_path / "one.yaml"
    scenarios.write_text("- {title: 처음부터, about: 없음, turns: [{take: 1}]}", encoding="utf-8")
    out = tmp_path / "demo.md"
    done = run_demo(live.data_dir, out, "--url", live.url, "--scenarios", str(scenarios))
    assert done.returncode == 1
    assert "follow-up 1 is taken, but 0 were offered" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_document_keeps_lines_and_takes_nothing_for_markup() -> None:
    answer = "1~3일 *안*에 끝납니다. [1]\n1) 메뉴 <설정>을 엽니다. [1]\n- 끝입니다.\n\n# 아님"
    end = TurnCompleted(
        answer=answer, verdict="answered", citations=(1,), provider="extractive", timings_ms={"search": 1.4}
    )
    sources = tuple(Source(n=n, faq_id=f"{n:012x}", question=f"[반품] {n}번", score=0.5) for n in (1, 2))
    offers = (Suggestion(faq_id="3" * 12, question="교환은요?", text="교환을 안내해드릴까요?"),)
    turn = ReplayedTurn("반품은\n며칠?", 0, standalone="반품 기간", sources=sources, suggestions=offers)
    turn.completed, turn.first_text_ms, turn.total_ms = end, 12.3, 45.6
    scenario = Scenario.model_validate({"title": "반품", "about": "설명", "turns": [{"ask": "반품은"}]})
    text = render([(scenario, [turn])], Setting("표본", "extractive", "2026-01-02"))
    assert (
        "> 1\\~3일 \\*안\\*에 끝납니다. [1]\\\n> 1\\) 메뉴 \\<설정\\>을 엽니다. [1]\\\n> \\- 끝입니다.\n>\n"
        "> \\# 아님\n"
    ) in text
    assert "### 질문: 반품은 며칠?" in text
    assert "- 다시 쓴 질문: 반품 기간" in text
    assert "[반품] 1번" in text
    assert "[반품] 2번" not in text
    assert "1. 교환을 안내해드릴까요?" in text
    assert "첫 글자 12 ms, 전체 46 ms; 단계별(ms): search 1" in text


def test_committed_demo_comes_from_the_bundled_sample() -> None:
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    titles = {json.loads(line)["question"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()}
    shown = [unescaped(t) for t in re.findall(r"^- \\\[\d\\\] (.+) \(점수 [\d.]+\)$", text, re.MULTILINE)]
    assert "configs/faq/sample.jsonl" in text
    assert len(shown) >= 4
    assert set(shown) <= titles
    assert text.count("\n## ") >= 4
