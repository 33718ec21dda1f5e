"""A gap's title and draft by an LLM: it quotes what people wrote, and nothing else gets through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from api.insights.drafts import BadDraft, read_draft
from tests.api.live import ask, serve, wait_until
from tests.api.providers.upstream import MODEL, upstream_in_thread

TEXTS = ("드론으로 배송해도 되나요?", "무인 드론 배송은 3kg까지 되나요?")
TITLE = "드론으로 배송할 수 있나요?"


def reply(title: str = TITLE, *quotes: tuple[int, str]) -> str:
    said = [{"n": n, "quote": quote} for n, quote in quotes or ((1, TEXTS[0]),)]
    return "네, 여기 있습니다.\n" + json.dumps({"title": title, "quotes": said}, ensure_ascii=False)


def test_a_draft_holds_the_quotations_word_for_word() -> None:
    found = read_draft(
        reply(TITLE, (1, "드론으로 배송"), (2, "3kg까지 되나요?"), (2, "3kg까지 되나요?")), TEXTS
    )
    assert found.title == TITLE
    assert found.quotes == ["드론으로 배송", "3kg까지 되나요?"]
    assert "· “3kg까지 되나요?”" in found.answer


def test_a_quotation_that_nobody_wrote_is_left_out() -> None:
    found = read_draft(
        reply(TITLE, (1, "드론은 5kg까지 됩니다"), (2, "드론으로 배송해도"), (1, "배송해도 되나요?")), TEXTS
    )
    assert found.quotes == ["배송해도 되나요?"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "제목: 드론",
        '{"title": "드론"}',
        '{"title": "드론 배송이 되나요?", "quotes": 3}',
        reply("드론 배송은 5kg까지 되나요?"),
        reply("Can drones deliver?"),
        reply(TITLE, (3, TEXTS[0])),
        reply(TITLE, (1, "없는 말")),
    ],
)
def test_a_reply_that_invents_is_no_draft(text: str) -> None:
    with pytest.raises(BadDraft):
        read_draft(text, TEXTS)


def test_the_console_gets_a_draft_of_what_was_asked(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir / "index", tmp_path / "index")
    with upstream_in_thread(pieces=(reply(TITLE, (1, "드론"), (2, "드론 배송은 7일 걸립니다")),)) as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__WRITER__"
        settings = {f"{name}BASE_URL": behind.url(), f"{name}MODEL": MODEL, f"{name}THIRD_PARTY": "false"}
        with serve(tmp_path, **settings) as server, server.client() as client:
            ids = [ask(client, text, provider="extractive")[0].data["turn_id"] for text in TEXTS]
            wait_until(lambda: client.get("/history/turns").json()["total"] == len(ids))

            def drafted(**body: Any) -> Any:
                return client.post("/insights/gaps/draft", json=body)

            found = drafted(turn_ids=ids, provider="writer").json()
            assert (found["title"], found["quotes"]) == (TITLE, ["드론"])
            asked = behind.requests[-1].body["messages"][-1]["content"]
            assert all(text in asked for text in TEXTS)
            assert drafted(turn_ids=ids).status_code == 422, "the default provider writes nothing"
            assert drafted(turn_ids=["t_nobody"], provider="writer").status_code == 404
            behind.pieces = ("모르겠습니다.",)
            assert drafted(turn_ids=ids, provider="writer").status_code == 502
