"""TalkTalk and KakaoTalk against platforms that enforce limits: in time, late, and delivered twice."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.channels.messenger import ChannelReply, event_id_of, plain
from tests.api.channels.platforms import (
    AUTHORIZATION,
    RESPONSE_S,
    Platform,
    kakao_faults,
    platform,
    talktalk_faults,
)
from tests.api.live import Live, serve, wait_until
from tests.api.providers.upstream import MODEL, upstream_in_thread

SECRET = "0123456789abcdef0123"
ADMIN = "a-key-of-the-settings-that-is-long-enough"
OPERATOR = {"Authorization": f"Bearer {ADMIN}"}
MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
QUESTIONS = (
    MINORS,
    "반품 배송비는 누가 내나요?",
    "정산은 언제 되나요?",
    "고맙습니다",
    "배송비는 어떻게 정하나요?",
)


def settings(taker: Platform, **more: str) -> dict[str, str]:
    channels = "SMARTSTORE_CHANNELS__"
    return {
        f"{channels}TALKTALK__SECRET": SECRET,
        f"{channels}TALKTALK__AUTHORIZATION": AUTHORIZATION,
        f"{channels}TALKTALK__ENDPOINT": f"{taker.url}/talktalk",
        f"{channels}TALKTALK__HAND_OVER_TO": "1",
        f"{channels}KAKAO__SECRET": SECRET,
        f"{channels}KAKAO__CALLBACK_HOSTS": '["127.0.0.1"]',
        "SMARTSTORE_AUTH__REQUIRED": "true",
        "SMARTSTORE_AUTH__ADMIN_KEY": ADMIN,
    } | more


@pytest.fixture(scope="module")
def taker() -> Iterator[Platform]:
    with platform() as server:
        yield server


@pytest.fixture(scope="module")
def fast(data_dir: Path, taker: Platform) -> Iterator[Live]:
    """A server that answers out of the FAQ itself."""
    with serve(data_dir, **settings(taker)) as server:
        yield server


@pytest.fixture(scope="module")
def slow(data_dir: Path, taker: Platform) -> Iterator[Live]:
    """A server whose LLM is later than a messenger waits."""
    with upstream_in_thread(pause_s=2.5) as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__LATE__"
        late = {
            f"{name}BASE_URL": behind.url("slow", "before"),
            f"{name}MODEL": MODEL,
            f"{name}THIRD_PARTY": "false",
            "SMARTSTORE_PROVIDERS__DEFAULT": "late",
            "SMARTSTORE_CHANNELS__TALKTALK__REPLY_S": "0.5",
            "SMARTSTORE_CHANNELS__KAKAO__REPLY_S": "0.5",
            "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
        }
        with serve(data_dir, **settings(taker, **late)) as server:
            yield server


def said(user: str, text: str, **content: Any) -> dict[str, Any]:
    """A TalkTalk user's message."""
    return {
        "event": "send",
        "user": user,
        "textContent": {"text": text, "inputType": "typing", **content},
        "options": {"mobile": True},
    }


def uttered(user: str, text: str, callback: str = "") -> dict[str, Any]:
    """A KakaoTalk user's message, as a skill gets it."""
    request: dict[str, Any] = {
        "timezone": "Asia/Seoul",
        "utterance": text,
        "lang": "ko",
        "user": {"id": user, "type": "botUserKey", "properties": {}},
        "block": {"id": "b", "name": "폴백 블록"},
    }
    if callback:
        request["callbackUrl"] = callback
    return {"intent": {"id": "i", "name": "폴백"}, "userRequest": request, "bot": {"id": "bot"}, "action": {}}


def tell(server: Live, channel: str, body: dict[str, Any], secret: str = SECRET) -> httpx.Response:
    return httpx.post(f"{server.url}/channels/{channel}/{secret}", json=body, timeout=RESPONSE_S)


def test_a_question_is_answered_in_the_response(fast: Live) -> None:
    event = tell(fast, "talktalk", said("tt-1", MINORS)).json()
    assert talktalk_faults(event) == []
    content = event["textContent"]
    assert "[1]" not in content["text"]
    assert "출처\n· " in content["text"]
    buttons = content["quickReply"]["buttonList"]
    # The title is short, the whole question is in the code; taking it asks that.
    again = tell(fast, "talktalk", said("tt-1", buttons[0]["data"]["title"], code=buttons[0]["data"]["code"]))
    assert talktalk_faults(again.json()) == []
    response = tell(fast, "kakao", uttered("kt-1", MINORS)).json()
    assert kakao_faults(response) == []
    assert response["template"]["quickReplies"][0]["messageText"]


def test_a_conversation_goes_on(fast: Live) -> None:
    tell(fast, "talktalk", said("tt-2", MINORS))
    second = tell(fast, "talktalk", said("tt-2", "그럼 서류는 뭐가 필요해?")).json()
    assert "서류" in second["textContent"]["text"]
    tell(fast, "kakao", uttered("kt-2", MINORS))
    text = tell(fast, "kakao", uttered("kt-2", "그럼 서류는 뭐가 필요해?")).json()
    assert "서류" in text["template"]["outputs"][0]["simpleText"]["text"]


@pytest.mark.parametrize(
    "event",
    [
        {"event": "friend", "user": "u", "options": {"set": "on"}},
        {"event": "echo", "user": "u", "echoedEvent": "send", "textContent": {"text": MINORS}},
        {"event": "action", "user": "u", "options": {"action": "typingOn"}},
        {"event": "handover", "user": "u", "options": {"control": "takeThread"}},
        {"event": "leave", "user": "u"},
        {"event": "send", "user": "u", "standby": True, "textContent": {"text": MINORS}},
        {"event": "send", "textContent": {"text": MINORS}},
        {"event": "new"},
        {},
    ],
    ids=lambda event: str(event.get("event", "nothing")),
)
def test_other_events_are_taken_in_silence(fast: Live, event: dict[str, Any]) -> None:
    response = tell(fast, "talktalk", event)
    assert (response.status_code, response.content) == (200, b"")


def test_who_opens_the_chat_is_greeted_and_who_sends_a_picture_is_told(fast: Live) -> None:
    opened = tell(fast, "talktalk", {"event": "open", "user": "tt-3", "options": {"inflow": "list"}}).json()
    assert "안녕하세요" in opened["textContent"]["text"]
    picture = {"event": "send", "user": "tt-3", "imageContent": {"imageUrl": "https://x"}}
    assert "글로" in tell(fast, "talktalk", picture).json()["textContent"]["text"]


def test_a_person_takes_over(fast: Live, taker: Platform) -> None:
    event = tell(fast, "talktalk", said("tt-4", "상담원 연결")).json()
    assert "연결했습니다" in event["textContent"]["text"]
    passed = [e for e in taker.pushed if e["event"] == "handover" and e["user"] == "tt-4"]
    assert [each["options"] for each in passed] == [{"control": "passThread", "targetId": 1}]


@pytest.mark.parametrize("channel", ["talktalk", "kakao"])
def test_only_the_platform_knows_the_way(fast: Live, channel: str) -> None:
    assert tell(fast, channel, {}, "wrong").status_code == 404
    url = f"{fast.url}/channels/{channel}/{SECRET}"
    assert httpx.get(url).status_code in (404, 405)
    assert httpx.post(url, content=b"{").status_code == 422
    assert httpx.post(url, content=b"[]").status_code == 422


@pytest.mark.parametrize("channel", ["talktalk", "kakao"])
def test_a_user_rates_the_last_answer_and_the_operator_sees_it(fast: Live, channel: str) -> None:
    def say(text: str) -> dict[str, Any]:
        body = said("tt-rate", text) if channel == "talktalk" else uttered("kt-rate", text)
        faults = talktalk_faults if channel == "talktalk" else kakao_faults
        answer: dict[str, Any] = tell(fast, channel, body).json()
        assert faults(answer) == []
        return answer

    def rated(rating: str) -> list[str]:
        query = {"channel": channel, "rating": rating}
        found = httpx.get(f"{fast.url}/history/turns", params=query, headers=OPERATOR).json()["turns"]
        return [turn["question"] for turn in found]

    assert "아쉬워요" in json.dumps(say(MINORS), ensure_ascii=False)
    for text, rating, other in (("아쉬워요", "down", "up"), ("도움이 됐어요", "up", "down")):
        assert "의견 고맙습니다." in str(say(text))
        wait_until(lambda rating=rating: rated(rating) == [MINORS])
        assert rated(other) == []


def test_a_rating_before_any_answer_is_a_question(fast: Live) -> None:
    event = tell(fast, "talktalk", said("tt-new", "아쉬워요")).json()
    assert "의견 고맙습니다." not in event["textContent"]["text"]


def test_other_networks_find_nothing(data_dir: Path, taker: Platform) -> None:
    networks = {"SMARTSTORE_CHANNELS__TALKTALK__NETWORKS": '["192.0.2.0/24"]'}
    with serve(data_dir, **settings(taker, **networks)) as server:
        assert tell(server, "talktalk", said("u", MINORS)).status_code == 404
        body, head = said("u", MINORS), {"X-Forwarded-For": "192.0.2.7"}
        url = f"{server.url}/channels/talktalk/{SECRET}"
        assert httpx.post(url, json=body, headers=head, timeout=60).status_code == 200


async def test_two_hundred_events_with_duplicates_are_answered_once_each(fast: Live) -> None:
    """40 users with five questions each, every third delivered twice."""
    times: list[float] = []
    spoken: dict[str, int] = {}

    async def user(client: httpx.AsyncClient, n: int) -> None:
        for number, question in enumerate(QUESTIONS):
            body = said(f"many-{n}", question) | {"eventId": f"e-{n}-{number}"}
            deliveries = [client.post(url, json=body) for _ in range(2 if number % 3 == 0 else 1)]
            began = time.perf_counter()
            for response in await asyncio.gather(*deliveries):
                assert response.status_code == 200
                if response.content:
                    times.append(time.perf_counter() - began)
                    assert talktalk_faults(response.json()) == []
                    spoken[f"{n}-{number}"] = spoken.get(f"{n}-{number}", 0) + 1

    url = f"{fast.url}/channels/talktalk/{SECRET}"
    async with httpx.AsyncClient(timeout=RESPONSE_S) as client:
        for start in range(0, 40, 4):
            await asyncio.gather(*(user(client, n) for n in range(start, start + 4)))
    assert spoken == {f"{n}-{number}": 1 for n in range(40) for number in range(len(QUESTIONS))}
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"\n200 events, p95 {p95 * 1000:.0f} ms in the response itself")


async def test_late_answers_are_pushed_once(slow: Live, taker: Platform) -> None:
    url = f"{slow.url}/channels/talktalk/{SECRET}"
    users = [f"late-{n}" for n in range(8)]
    async with httpx.AsyncClient(timeout=RESPONSE_S) as client:
        bodies = [said(user, MINORS) | {"eventId": f"late-{user}"} for user in users]
        answered = await asyncio.gather(*(client.post(url, json=body) for body in [*bodies, *bodies]))
    assert all((each.status_code, each.content) == (200, b"") for each in answered)

    def pushed() -> bool:
        return {each["user"] for each in taker.messages()} >= set(users)

    await asyncio.to_thread(wait_until, pushed, 60)
    mine = [event for event in taker.pushed if event["user"] in users]
    assert sorted(each["user"] for each in mine if each["event"] == "send") == users
    assert sorted(each["user"] for each in mine if each["event"] == "action") == users
    assert taker.faults == []


async def test_late_answers_call_back_once(slow: Live, taker: Platform) -> None:
    url = f"{slow.url}/channels/kakao/{SECRET}"
    paths = [f"/callback/{n}" for n in range(8)]
    async with httpx.AsyncClient(timeout=RESPONSE_S) as client:
        bodies = [uttered(f"k-{n}", MINORS, taker.callback(path)) for n, path in enumerate(paths)]
        answered = await asyncio.gather(*(client.post(url, json=body) for body in [*bodies, *bodies]))
    assert all(each.json()["useCallback"] is True for each in answered)
    await asyncio.to_thread(wait_until, lambda: set(taker.answers) >= set(paths), 60)
    assert [taker.called[path] for path in paths] == [1] * len(paths)
    assert taker.faults == []


def test_a_late_answer_without_a_callback_waits_for_its_user(slow: Live) -> None:
    first = tell(slow, "kakao", uttered("k-wait", MINORS, "https://evil.example/callback")).json()
    assert [each["label"] for each in first["template"]["quickReplies"]] == ["답변 보기"]

    def shown() -> str:
        response = tell(slow, "kakao", uttered("k-wait", "답변 보기")).json()
        assert kakao_faults(response) == []
        return str(response["template"]["outputs"][0]["simpleText"]["text"])

    assert "답변입니다" in wait_until(lambda: text if "답변입니다" in (text := shown()) else None)


def test_an_answer_is_cut_where_the_platform_ends_and_says_so() -> None:
    reply = ChannelReply("가" * 2000, ("출처 하나",))
    shown = reply.shown(1000)
    assert len(shown) == 1000
    assert "이어지는 내용은 출처의 FAQ에" in shown
    assert shown.endswith("· 출처 하나")
    assert ChannelReply("짧은 답", ("하나",)).shown(1000) == "짧은 답\n\n출처\n· 하나"
    assert len(ChannelReply("가" * 2000, ("나" * 900,)).shown(1000)) == 1000


def test_marks_and_citations_are_left_out() -> None:
    assert plain("## 제목\n**굵게** 쓴 `말` [1][2]\n끝 [3].") == "제목\n굵게 쓴 말\n끝."


def test_events_are_told_apart_by_their_id_or_by_all_of_them() -> None:
    assert event_id_of({"eventId": 1, "a": 1}) == event_id_of({"eventId": 1, "a": 2})
    assert event_id_of({"a": 1}) != event_id_of({"a": 2})
    assert not event_id_of({"eventId": ""}).given
