"""The gap report, the summary and the export through a real server."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.live import Live, ask, serve, smartstore, wait_until

SAME = ("드론으로 배송해도 되나요?", "드론 배송도 가능한가요?", "무인 드론으로 배송할 수 있나요?")
FORMULA = '=HYPERLINK("http://evil.example","누르세요") 스마트스토어 드론'


@pytest.fixture(scope="module")
def asked(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, httpx.Client]]:
    """A server of which some questions went unanswered."""
    folder = tmp_path_factory.mktemp("gaps")
    shutil.copytree(data_dir / "index", folder / "index")
    with serve(folder) as server, server.client() as client:
        for question in (*SAME, FORMULA):
            ask(client, question)
        turn_id = ask(client, "미성년자도 판매 회원 등록이 가능한가요?")[0].data["turn_id"]
        client.put(f"/chat/turns/{turn_id}/feedback", json={"rating": "down", "reason": "outdated"})
        wait_until(lambda: client.get("/history/turns").json()["total"] == 5)
        yield server, client


def test_alike_questions_are_one_gap_with_a_proposal(asked: tuple[Live, httpx.Client]) -> None:
    report = asked[1].get("/insights/gaps").json()
    assert report["turns"] == 5
    [gap] = [gap for gap in report["gaps"] if gap["title"] in SAME]
    assert {example["question"] for example in gap["examples"]} >= set(SAME)
    assert gap["sessions"] >= 3
    assert gap["later"] >= 3
    assert gap["proposal"] in ("new_entry", "add_wordings", "refused_wrongly")
    [down] = [gap for gap in report["gaps"] if "down" in gap["faults"]]
    assert down["proposal"] == "incomplete"
    assert down["faq_id"]


def test_summary_counts_verdicts_ratings_and_resolution(asked: tuple[Live, httpx.Client]) -> None:
    total = asked[1].get("/insights/summary").json()["total"]
    assert (total["turns"], total["sessions"], total["down"]) == (5, 5, 1)
    assert sum(total["verdicts"].values()) == 5
    assert 0 <= total["resolved"] < 1
    assert 0 < total["p50_ms"] <= total["p95_ms"]


def test_export_is_filtered_and_no_formula(asked: tuple[Live, httpx.Client]) -> None:
    server, client = asked
    text = client.get("/history/export", params={"format": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert len(rows) == 5
    assert [row["question"] for row in rows if "HYPERLINK" in row["question"]] == [f"'{FORMULA}"]
    lines = client.get("/history/export", params={"format": "jsonl", "rating": "down"}).text.splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["outdated"]
    done = smartstore(server.data_dir, "history", "export", "--rating", "down")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reason"] == "outdated"
