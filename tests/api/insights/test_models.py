"""How models fared, and the adapters: both sides of a trial, measured by what sellers thought."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from api.insights.models import wilson
from serving.registry.card import Canary, Card, write_card
from tests.api.live import ask, serve, wait_until
from tests.api.providers.upstream import upstream_in_thread

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
OLD, NEW = "faq-20260101-00000001", "faq-20260202-00000002"


def adapter(registry: Path, name: str, loss: float) -> None:
    """An adapter's folder with a card."""
    (registry / name).mkdir(parents=True)
    metrics = {"loss": {"validation": loss}, "evaluation": {"judgement": {"verdict": "better"}}}
    card = Card(
        name, "Qwen3-32B", "", 16, Canary(({"role": "user", "content": "?"},), 8, "a", "b"), metrics=metrics
    )
    write_card(registry / name, card)


def test_both_sides_of_a_trial_are_measured(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    registry = tmp_path / "adapters"
    adapter(registry, OLD, 1.5)
    adapter(registry, NEW, 1.25)
    pointer = {
        "model": OLD,
        "ab": {"model": NEW, "share": 0.5},
        "earlier": [],
        "moved_at": "2026-02-02T00:00:00Z",
    }
    (registry / "current.json").write_text(json.dumps(pointer))
    with upstream_in_thread() as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__"
        settings = {
            "SMARTSTORE_PROVIDERS__DEFAULT": "vllm",
            f"{name}BASE_URL": behind.url(),
            f"{name}ALIAS_FILE": str(registry / "current.json"),
            "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
        }
        with serve(tmp_path, **settings) as server, server.client() as client:
            liked: dict[str, list[str]] = {OLD: [], NEW: []}
            # Sessions are drawn by their ids: 30 of them miss one side once in half a billion times.
            for n in range(30):
                started = ask(client, f"{MINORS} {n}")[0].data
                rating = "up" if started["model"] == NEW or n % 3 else "down"
                body = {"rating": rating}
                assert client.put(f"/chat/turns/{started['turn_id']}/feedback", json=body).status_code == 204
                liked[started["model"]].append(rating)
            wait_until(lambda: client.get("/history/turns").json()["total"] == 30)
            report = client.get("/insights/models").json()
    assert {each["model"]: (each["turns"], each["up"]) for each in report["models"]} == {
        model: (len(ratings), ratings.count("up")) for model, ratings in liked.items()
    }
    new = next(each for each in report["models"] if each["model"] == NEW)
    assert new["liked"] == 1.0
    assert new["liked_from"] < 1.0
    shown = {each["name"]: (each["loss"], each["verdict"], each["share"]) for each in report["adapters"]}
    assert shown == {OLD: (1.5, "better", 0.5), NEW: (1.25, "better", 0.5)}


@pytest.mark.parametrize(
    ("up", "of", "low", "high"),
    [(0, 0, None, None), (8, 10, 0.49, 0.943), (0, 5, 0.0, 0.434), (5, 5, 0.566, 1.0)],
)
def test_a_share_of_few_says_how_little_it_says(
    up: int, of: int, low: float | None, high: float | None
) -> None:
    assert wilson(up, of) == (low, high)
