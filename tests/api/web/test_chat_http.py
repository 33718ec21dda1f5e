"""POST /chat and what hangs on it, over HTTP against a real server."""

from __future__ import annotations

import httpx
import pytest

from api.events import REFUSAL
from tests.api.live import ask, parse, wait_until

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"


def test_chat_streams_a_grounded_answer(client: httpx.Client) -> None:
    events = ask(client, MINORS)
    kinds = [e.kind for e in events]
    assert kinds[0] == "turn.started"
    assert kinds[-2:] == ["suggestions", "turn.completed"]
    assert kinds.index("sources") < kinds.index("delta")
    assert [e.number for e in events] == list(range(1, len(events) + 1))
    final = events[-1].data
    assert final["answer"] == "".join(e.data["text"] for e in events if e.kind == "delta")
    assert final["verdict"] == "answered"
    sources = next(e for e in events if e.kind == "sources").data["sources"]
    assert "미성년자" in sources[0]["question"]
    assert set(final["citations"]) <= {s["n"] for s in sources}
    assert final["citations"]


def test_chat_korean_text_travels_unescaped(client: httpx.Client) -> None:
    body = client.post("/chat", json={"question": MINORS}).text
    assert "\\u" not in body
    assert "미성년자" in body


def test_chat_off_topic_gets_the_exact_refusal_and_ways_back(client: httpx.Client) -> None:
    events = ask(client, "오늘 저녁에 여의도 가려는데 맛집 추천좀 해줄래?")
    final = events[-1].data
    assert (final["answer"], final["verdict"]) == (REFUSAL, "off_topic")
    suggestions = next(e for e in events if e.kind == "suggestions").data["suggestions"]
    assert 1 <= len(suggestions) <= 3


def test_chat_second_turn_uses_the_first(client: httpx.Client) -> None:
    first = ask(client, MINORS)
    session = first[0].data["session_id"]
    second = ask(client, "그럼 서류는 뭐가 필요해?", session_id=session)
    sources = next(e for e in second if e.kind == "sources").data["sources"]
    assert "서류" in sources[0]["question"]
    assert any("미성년자" in s["question"] and "서류" in s["question"] for s in sources)
    turns = client.get(f"/sessions/{session}").json()["turns"]
    assert [t["question"] for t in turns] == [MINORS, "그럼 서류는 뭐가 필요해?"]
    shown = [e.data["standalone"] for e in second if e.kind == "question.rewritten"]
    assert turns[1]["standalone"] == (shown[0] if shown else turns[1]["question"])


def test_chat_follow_ups_find_their_own_faq_and_never_repeat(client: httpx.Client) -> None:
    question, session, offered = "배송비는 어떻게 설정하나요?", None, set()
    for _ in range(4):
        events = ask(client, question, session_id=session)
        session = events[0].data["session_id"]
        suggestions = next(e for e in events if e.kind == "suggestions").data["suggestions"]
        assert not offered & {s["faq_id"] for s in suggestions}
        offered |= {s["faq_id"] for s in suggestions}
        for suggestion in suggestions:
            hits = client.get("/faqs/search", params={"q": suggestion["question"], "limit": 1}).json()["hits"]
            assert hits[0]["faq"]["id"] == suggestion["faq_id"]
        question = suggestions[0]["question"]


def test_events_replay_from_last_event_id(client: httpx.Client) -> None:
    events = ask(client, MINORS)
    turn = events[0].data["turn_id"]
    response = client.get(f"/chat/turns/{turn}/events", headers={"Last-Event-ID": "2"})
    assert [(e.number, e.kind) for e in parse(response.text)] == [(e.number, e.kind) for e in events[2:]]
    past_the_end = parse(client.get(f"/chat/turns/{turn}/events", params={"after": 999}).text)
    assert past_the_end == events[-1:]


def test_idempotency_key_returns_the_same_turn(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "같은-요청-1".encode().hex()}
    first, again = ask(client, MINORS, headers=key), ask(client, MINORS, headers=key)
    assert first == again
    conflict = client.post("/chat", json={"question": "정산은 언제 되나요?"}, headers=key)
    assert conflict.status_code == 409


def test_stop_of_an_ended_turn_changes_nothing(client: httpx.Client) -> None:
    events = ask(client, MINORS)
    turn = events[0].data["turn_id"]
    assert client.delete(f"/chat/turns/{turn}").status_code == 202
    assert parse(client.get(f"/chat/turns/{turn}/events").text) == events


def test_delete_session_forgets_it(client: httpx.Client) -> None:
    session = ask(client, MINORS)[0].data["session_id"]
    assert client.delete(f"/sessions/{session}").status_code == 204
    assert client.get(f"/sessions/{session}").status_code == 404


def test_a_client_that_leaves_does_not_end_the_turn_within_its_grace(
    client: httpx.Client,
) -> None:
    with client.stream("POST", "/chat", json={"question": MINORS}) as response:
        turn = response.headers["x-turn-id"]
    wait_until(lambda: "turn.completed" in client.get(f"/chat/turns/{turn}/events").text)


def test_faqs_are_found_and_read(client: httpx.Client) -> None:
    hit = client.get("/faqs/search", params={"q": "배송비 설정", "limit": 3}).json()["hits"][0]
    whole = client.get(f"/faqs/{hit['faq']['id']}").json()
    assert whole == hit["faq"]
    assert 0 <= hit["score"] <= 1


def test_operations_tell_health_readiness_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json()["status"] == "ready"
    ask(client, MINORS)
    text = client.get("/metrics").text
    assert 'smartstore_turns_total{provider="extractive",verdict="answered"}' in text
    assert 'smartstore_http_requests_total{method="POST",route="/chat",status="200"}' in text


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b'{"question": ""}', 422, "비어"),
        ('{"question": " \u200b  "}'.encode(), 422, "비어"),
        (('{"question": "' + "가" * 2001 + '"}').encode(), 422, "2,000"),
        (b"not json", 400, "JSON"),
        (b"[]", 422, "객체"),
        (b'{"question": 3}', 422, "문자열"),
        (b"{}", 422, "question"),
        (b'{"question": "q", "extra": 1}', 422, "extra"),
        (b'{"question": "q", "provider": "nobody"}', 422, "extractive"),
        (b'{"question": "q", "session_id": "../../etc"}', 422, "session_id"),
        (b'{"question": "q", "session_id": "s_AAAAAAAAAAAAAAAAAAAAAAAA"}', 404, "대화"),
        (b'{"question": "' + b"a" * 1_100_000 + b'"}', 413, "바이트"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, bytes) else "",
)
def test_bad_input_gets_a_problem_body(client: httpx.Client, body: bytes, status: int, word: str) -> None:
    response = client.post("/chat", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert word in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat/turns/t_AAAAAAAAAAAAAAAAAAAAAAAA/events", 404),
        ("DELETE", "/chat/turns/nothing", 404),
        ("GET", "/sessions/nothing", 422),
        ("GET", "/faqs/nothing", 404),
        ("GET", "/faqs/search?q=%20", 422),
        ("GET", "/faqs/search?q=a&limit=0", 422),
        ("GET", "/nowhere", 404),
        ("PUT", "/chat", 405),
    ],
)
def test_bad_requests_get_a_problem_body(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_malformed_last_event_id_is_refused(client: httpx.Client) -> None:
    turn = ask(client, MINORS)[0].data["turn_id"]
    response = client.get(f"/chat/turns/{turn}/events", headers={"Last-Event-ID": "abc"})
    assert response.status_code == 422
