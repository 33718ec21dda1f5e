"""Text that no encoding can carry is refused where it comes in, and fails nobody else's call."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from api.errors import InvalidRequest
from api.state.connection import State
from tests.api.live import ask

ECHO = "return ARGV[1]"
LONE = '"\\ud800"'
BODIES = (
    ("/chat", '{"question": %s}'),
    ("/chat", '{"question": "정산은 언제 되나요?", "session_id": %s}'),
    ("/chat", '{"question": "정산은 언제 되나요?", "provider": %s}'),
    ("/chat", '{"question": "정산은 언제 되나요?", %s: 1}'),
    ("/v1/chat/completions", '{"model": "faq", "messages": [{"role": "user", "content": %s}]}'),
    ("/v1/chat/completions", '{"model": %s, "messages": [{"role": "user", "content": "정산"}]}'),
    ("/v1/embeddings", '{"model": "e5-small", "input": [%s]}'),
    ("/jobs", '{"kind": %s}'),
)


async def test_one_bad_call_of_a_batch_fails_alone(state: State) -> None:
    script = state.script(ECHO)
    calls = [script(keys=[state.key("echo", str(n))], args=[text]) for n, text in enumerate("가\ud800나")]
    first, bad, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == ("가", "나")
    assert isinstance(bad, InvalidRequest)


async def test_a_call_that_the_client_cannot_send_fails_alone(embedded_state: State) -> None:
    script = embedded_state.script(ECHO)
    arguments: list[object] = ["가", object(), "나"]
    calls = [script(keys=[embedded_state.key("echo", "1")], args=[a]) for a in arguments]  # type: ignore[list-item]
    first, bad, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == ("가", "나")
    assert isinstance(bad, Exception)


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_a_lone_surrogate_is_refused_with_an_error_body(client: httpx.Client, path: str, body: str) -> None:
    headers = {"content-type": "application/json"}
    response = client.post(path, content=body % LONE, headers=headers)
    assert 400 <= response.status_code < 500
    assert response.json()


def test_an_asker_never_notices_another_ones_surrogates(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    path, body = BODIES[4]
    for _ in range(5):
        client.post(path, content=body % LONE, headers=headers)
        assert ask(client, "미성년자도 판매 회원 등록이 가능한가요?")[-1].kind == "turn.completed"
