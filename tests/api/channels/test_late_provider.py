"""200 questions to an LLM that needs 6 s, every third delivered twice: each answered once, in the limits.

The limits are those of the platforms: so late comes after their five seconds and before their minute. The
users ask once after the other, as fast as they are answered; both channels together ask 50 at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.channels.platforms import CALLBACK_S, RESPONSE_S, Platform, kakao_faults, platform
from tests.api.channels.test_messengers import SECRET, said, settings, uttered
from tests.api.live import Live, serve
from tests.api.providers.upstream import MODEL, upstream_in_thread

LATE_S = 6.0
USERS, ROUNDS = 25, 4


@pytest.fixture
def taker() -> Iterator[Platform]:
    with platform() as server:
        yield server


@pytest.fixture
def late(data_dir: Path, taker: Platform) -> Iterator[Live]:
    """A server with the settings that it comes with, whose LLM says nothing for 6 s."""
    with upstream_in_thread(pause_s=LATE_S) as behind:
        name = "SMARTSTORE_PROVIDERS__ENDPOINTS__LATE__"
        provider = {
            f"{name}BASE_URL": behind.url("slow", "before"),
            f"{name}MODEL": MODEL,
            f"{name}THIRD_PARTY": "false",
            "SMARTSTORE_PROVIDERS__DEFAULT": "late",
            "SMARTSTORE_STATE__ANSWER_TTL_S": "0",
        }
        with serve(data_dir, **settings(taker, **provider)) as server:
            yield server


async def deliver(client: httpx.AsyncClient, channel: str, body: dict[str, Any], times: int) -> list[Any]:
    """What the webhook answers each delivery of one event with, within the platform's five seconds."""
    posts = [client.post(f"/channels/{channel}/{SECRET}", json=body) for _ in range(times)]
    answered = await asyncio.gather(*posts)
    assert all(each.status_code == 200 for each in answered)
    return [each.json() if each.content else None for each in answered]


async def arrival(condition: Any) -> None:
    async with asyncio.timeout(CALLBACK_S):
        while not condition():  # noqa: ASYNC110 (the platform is a thread)
            await asyncio.sleep(0.1)


async def test_every_late_answer_comes_once_and_in_time(late: Live, taker: Platform) -> None:
    def pushed() -> Counter[str]:
        return Counter(event["user"] for event in taker.messages())

    async def talktalk(client: httpx.AsyncClient, n: int) -> None:
        user = f"t-{n}"
        for turn in range(ROUNDS):
            body = said(user, f"반품 배송비는 누가 내나요? {turn}") | {"eventId": f"{user}-{turn}"}
            times = 2 if (n + turn) % 3 == 0 else 1
            assert await deliver(client, "talktalk", body, times) == [None] * times
            await arrival(lambda: pushed()[user] > turn)  # noqa: B023 (awaited before the next turn)

    async def kakao(client: httpx.AsyncClient, n: int) -> None:
        for turn in range(ROUNDS):
            path = f"/callback/{n}-{turn}"
            body = uttered(f"k-{n}", f"반품 배송비는 누가 내나요? {turn}", taker.callback(path))
            for response in await deliver(client, "kakao", body, 2 if (n + turn) % 3 == 0 else 1):
                assert response["useCallback"] is True
                assert kakao_faults(response) == []
            await arrival(lambda: path in taker.answers)  # noqa: B023 (awaited before the next turn)

    async with httpx.AsyncClient(base_url=late.url, timeout=RESPONSE_S) as client:
        await asyncio.gather(*(ask(client, n) for n in range(USERS) for ask in (talktalk, kakao)))
        # What comes twice comes about when it comes once; so much later nothing is under way.
        await asyncio.sleep(1.0)
    assert pushed() == {f"t-{n}": ROUNDS for n in range(USERS)}
    assert taker.called == {f"/callback/{n}-{turn}": 1 for n in range(USERS) for turn in range(ROUNDS)}
    assert taker.faults == []
    texts = [event["textContent"]["text"] for event in taker.messages()]
    texts += [each["template"]["outputs"][0]["simpleText"]["text"] for each in taker.answers.values()]
    assert all("정상으로 보낸 답변입니다" in text for text in texts)
