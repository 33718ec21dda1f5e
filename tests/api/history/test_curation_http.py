"""Editing the FAQ of running servers: live at once, everywhere; audited, undone, kept over a build."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.live import Live, ask, serve, smartstore, wait_until

NEW = {
    "question": "드론으로 배송해도 되나요?",
    "answer": "드론 배송은 아직 지원하지 않습니다.\n택배로 보내 주세요.",
    "categories": ["배송"],
    "expansions": ["하늘로 날려서 보내는 방법", "무인기 택배"],
}


@pytest.fixture(scope="module")
def own(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with an index of its own, which the tests edit."""
    folder = tmp_path_factory.mktemp("edited")
    shutil.copytree(data_dir / "index", folder / "index")
    with serve(folder) as server:
        yield server


@pytest.fixture
def http(own: Live) -> Iterator[httpx.Client]:
    with own.client() as client:
        yield client


def first(client: httpx.Client, text: str) -> str:
    hits = client.get("/faqs/search", params={"q": text, "limit": 1}).json()["hits"]
    return str(hits[0]["faq"]["id"]) if hits else ""


def test_faq_is_found_by_title_and_wordings_here_and_in_another_process(
    own: Live, http: httpx.Client
) -> None:
    with serve(own.data_dir) as second, second.client() as other:
        made = http.post("/faqs", json=NEW)
        assert made.status_code == 201, made.text
        faq_id = made.json()["faq_id"]
        for text in (NEW["question"], *NEW["expansions"]):
            assert first(http, text) == faq_id
            assert wait_until(lambda text=text: first(other, text) == faq_id)
    answer = ask(http, NEW["question"])[-1].data
    assert "드론 배송은 아직 지원하지 않습니다" in answer["answer"]
    assert http.post("/faqs", json=NEW).status_code == 409

    changed = {**NEW, "answer": "드론 배송을 시작했습니다."}
    assert http.put(f"/faqs/{faq_id}", json=changed).status_code == 200
    assert http.get(f"/faqs/{faq_id}").json()["answer"] == "드론 배송을 시작했습니다."
    assert http.post(f"/faqs/{faq_id}/expansions", json={"expansions": ["공중 배달"]}).status_code == 201
    trail = http.get("/faqs/edits", params={"faq_id": faq_id}).json()
    assert [edit["action"] for edit in trail] == ["expand", "change", "add"]
    assert trail[1]["before"]["answer"] == NEW["answer"]

    assert http.post(f"/faqs/edits/{trail[1]['id']}/undo").status_code == 409
    assert http.post(f"/faqs/edits/{trail[0]['id']}/undo").status_code == 200
    newest = http.get("/faqs/edits", params={"faq_id": faq_id}).json()[0]
    assert (newest["action"], newest["undoes"]) == ("undo", trail[0]["id"])
    assert newest["after"]["expansions"] == NEW["expansions"]


def test_faq_of_the_file_is_retired_and_brought_back(http: httpx.Client) -> None:
    faq_id = first(http, "미성년자도 판매 회원 등록이 가능한가요?")
    gone = http.delete(f"/faqs/{faq_id}")
    assert gone.status_code == 200
    assert http.get(f"/faqs/{faq_id}").status_code == 404
    assert http.put(f"/faqs/{faq_id}", json=NEW).status_code == 404
    assert http.post(f"/faqs/edits/{gone.json()['edit']}/undo").status_code == 200
    assert http.get(f"/faqs/{faq_id}").status_code == 200


def test_preview_shows_what_would_change_and_changes_nothing(http: httpx.Client) -> None:
    asked = "우주 정거장에서 팔 수 있나요?"
    body = {"question": asked, "answer": "팔 수 없습니다.", "questions": [asked]}
    seen = http.post("/faqs/preview", json=body).json()
    assert seen["questions"][0]["after"] == asked
    assert seen["questions"][0]["before"] != asked
    assert first(http, asked) != seen["questions"][0]["after_id"]
    assert http.post("/faqs/preview", json={**body, "answer": " \n "}).status_code == 422


def test_edits_outlive_a_restart_and_a_whole_build(own: Live, http: httpx.Client) -> None:
    made = http.post("/faqs", json={"question": "로봇이 포장해도 되나요?", "answer": "됩니다."}).json()
    done = smartstore(own.data_dir, "index", "build")
    assert done.returncode == 0, done.stderr
    assert "index is current" in done.stdout
    with serve(own.data_dir) as again, again.client() as other:
        assert first(other, "로봇이 포장해도 되나요?") == made["faq_id"]
