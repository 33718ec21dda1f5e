"""The history through a real server: asked, listed, rated, erased."""

from __future__ import annotations

import httpx

from tests.api.live import ask, wait_until


def history_of(client: httpx.Client, **query: str) -> list[dict]:
    response = client.get("/history/turns", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["turns"])


def test_turn_is_listed_rated_and_erased_with_its_session(client: httpx.Client) -> None:
    started = ask(client, "구매확정이 되면 정산은 언제 되나요? 010-1234-5678")[0].data
    turn_id, session_id = started["turn_id"], started["session_id"]
    [row] = wait_until(lambda: history_of(client, session_id=session_id))
    assert (row["id"], row["rating"]) == (turn_id, None)
    assert row["question"].endswith("[전화번호]")

    path = f"/chat/turns/{turn_id}/feedback"
    assert client.put(path, json={"rating": "up"}).status_code == 204
    body = {"rating": "down", "reason": "incomplete", "comment": "메일은 a@b.kr"}
    assert client.put(path, json=body).status_code == 204
    full = client.get(f"/history/turns/{turn_id}").json()
    assert (full["rating"], full["reason"], full["comment"]) == ("down", "incomplete", "메일은 [이메일]")
    assert full["events"][-1]["type"] == "turn.completed"
    assert client.get(f"/sessions/{session_id}").json()["ratings"] == {turn_id: "down"}
    assert [r["id"] for r in history_of(client, rating="down", session_id=session_id)] == [turn_id]
    assert "smartstore_feedback_total{" in client.get("/metrics").text

    assert client.delete(f"/sessions/{session_id}").status_code == 204
    assert wait_until(lambda: history_of(client, session_id=session_id) == [])
    assert client.get(f"/history/turns/{turn_id}").status_code == 404


def test_rating_is_refused_for_unknown_turns_and_words(client: httpx.Client) -> None:
    assert client.put("/chat/turns/t_unknown/feedback", json={"rating": "up"}).status_code == 404
    turn_id = ask(client, "정산은 언제 되나요?")[0].data["turn_id"]
    path = f"/chat/turns/{turn_id}/feedback"
    assert client.put(path, json={"rating": "great"}).status_code == 422
    assert client.put(path, json={"rating": "up", "reason": "because"}).status_code == 422
    assert client.delete(path).status_code == 204


def test_cursor_that_is_none_is_refused(client: httpx.Client) -> None:
    assert client.get("/history/turns", params={"before": "later"}).status_code == 422
    assert client.get("/history/turns", params={"text": "가\0나"}).status_code == 200
