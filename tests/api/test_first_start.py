"""A fresh machine: questions are answered before the vectors are there, and a kill loses no work done."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.api.live import ask, serve, wait_until

SUBJECTS = ("정산", "배송비", "반품", "쿠폰", "상품 등록", "세금계산서", "톡톡", "리뷰", "재고", "교환")


def corpus_file(folder: Path) -> Path:
    """A FAQ whose vectors do not come along with the repository."""
    path = folder / "own.jsonl"
    rows = [
        {
            "question": f"{subject} 설정의 {n}번째 항목은 어디에서 바꾸나요?",
            "answer": f"{subject} 메뉴의 {n}번째 칸에서 바꿉니다. " * 4,
        }
        for subject in SUBJECTS
        for n in range(1, 16)
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def building(client: httpx.Client) -> dict[str, object] | None:
    return client.get("/ready").raise_for_status().json()["building"]  # type: ignore[no-any-return]


def kept(data_dir: Path) -> int:
    """How many vectors lie on the disk; each takes 12 bytes of key and 384 of numbers."""
    return sum(path.stat().st_size // 396 for path in (data_dir / "cache").glob("*"))


def embedded(client: httpx.Client) -> int:
    """How many texts are embedded, at least one batch; 0 before that."""
    now = building(client)
    return int(str(now["done"])) if now and now["step"] == "embed" else 0


def test_a_first_start_answers_at_once_and_a_kill_loses_one_batch_at_most(tmp_path: Path) -> None:
    settings = {"SMARTSTORE_CORPUS__FAQ": str(corpus_file(tmp_path))}
    with serve(tmp_path, "--build", **settings) as server, server.client() as client:
        first = client.get("/ready").json()["index"]
        assert first.startswith("first-")
        events = ask(client, "쿠폰 설정의 7번째 항목은 어디에서 바꾸나요?")
        [sources] = [event for event in events if event.kind == "sources"]
        assert sources.data["sources"][0]["question"] == "쿠폰 설정의 7번째 항목은 어디에서 바꾸나요?"
        done = wait_until(lambda: embedded(client), 120)
        server.kill()
    # A batch is told of when the next one begins.
    assert kept(tmp_path) >= done

    with serve(tmp_path, "--build", **settings) as server, server.client() as client:
        assert client.get("/ready").json()["index"].startswith("first-")
        wait_until(lambda: building(client) is None, 240)
        assert client.get("/ready").json()["index"] == first.removeprefix("first-")
        assert ask(client, "재고 설정의 3번째 항목은 어디에서 바꾸나요?")[-1].data["verdict"] == "answered"

    with serve(tmp_path, "--build", **settings) as server, server.client() as client:
        assert building(client) is None, "a second start has the index"
