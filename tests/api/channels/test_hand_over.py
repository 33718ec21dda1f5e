"""A conversation handed to a person: masked, signed, sent again until it is taken, dead in the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.channels.hand_over.deliveries import Deliveries
from api.channels.hand_over.signing import secret_bytes
from api.state.connection import State
from tests.api.live import Live, ask, serve, smartstore, wait_until

KEY = b"a key of thirty-two bytes, no less"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
STRANGE = "드론으로 배송해도 되나요? 제 번호는 010-1234-5678입니다."


class Desk(ThreadingHTTPServer):
    """A help desk's webhook that refuses the first `refuses` deliveries."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.refuses = 0
        self.attempts: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Hook(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.attempts.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(500 if len(self.server.attempts) <= self.server.refuses else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def desk() -> Iterator[Desk]:
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def settings(hook: Desk, retry_s: str = "[0.1, 0.1]") -> dict[str, str]:
    names = {"URL": hook.url, "SECRET": SECRET, "RETRY_S": retry_s}
    return {f"SMARTSTORE_HAND_OVER__{name}": value for name, value in names.items()}


def hand_over(server: Live, contact: str = "seller@shop.example") -> tuple[str, list[str]]:
    """Asks, and hands over twice; the session, and the ids of the hand-overs."""
    with server.client() as client:
        session = ask(client, STRANGE)[0].data["session_id"]
        body = {"contact": contact, "note": "계좌 110-234-567890으로 받고 싶어요"}
        answers = [client.post(f"/sessions/{session}/hand-over", json=body) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    return session, [each.json()["hand_over_id"] for each in answers]


def test_a_conversation_is_handed_over_once_masked_and_signed(data_dir: Path) -> None:
    with desk() as hook:
        hook.refuses = 2
        with serve(data_dir, **settings(hook)) as server:
            session, ids = hand_over(server)
            assert ids[0] == ids[1]
            wait_until(lambda: len(hook.attempts) == 3)
            with server.client() as client:
                wait_until(lambda: 'hand_overs_total{result="delivered"} 1.0' in client.get("/metrics").text)
                assert 'hand_overs_total{result="failed"} 2.0' in client.get("/metrics").text
        assert len({head["webhook-id"] for head, _ in hook.attempts}) == 1
        for head, raw in hook.attempts:
            text = f"{ids[0]}.{head['webhook-timestamp']}.".encode() + raw
            signature = base64.b64encode(hmac.new(KEY, text, hashlib.sha256).digest()).decode()
            assert head["webhook-signature"] == f"v1,{signature}"
        message = json.loads(hook.attempts[-1][1])
        assert message["data"]["session_id"] == session
        assert message["data"]["contact"] == "seller@shop.example"
        [turn] = message["data"]["conversation"]
        assert turn["question"] == STRANGE.replace("010-1234-5678", "[전화번호]")
        assert "110-234-567890" not in hook.attempts[-1][1].decode()


def dead(data_dir: Path, hook: Desk, action: str) -> str:
    """What `smartstore hand-over dead` says."""
    done = smartstore(data_dir, "hand-over", "dead", action, **settings(hook))
    done.check_returncode()
    return done.stdout


def test_what_is_never_taken_is_a_dead_letter_and_can_be_sent_again(data_dir: Path) -> None:
    with desk() as hook:
        hook.refuses = 3
        with serve(data_dir, **settings(hook)) as server:
            _, ids = hand_over(server)
            with server.client() as client:
                wait_until(lambda: 'hand_overs_total{result="dead"} 1.0' in client.get("/metrics").text)
            assert len(hook.attempts) == 3
            assert f"{ids[0]}  status 500" in dead(data_dir, hook, "list")
            assert "1 dead hand-overs queued again" in dead(data_dir, hook, "retry")
            wait_until(lambda: len(hook.attempts) == 4)
            assert "0 dead hand-overs" in dead(data_dir, hook, "list")


def test_a_killed_server_loses_no_hand_over(data_dir: Path) -> None:
    with desk() as hook:
        hook.refuses = 1
        # The webhook is down while the first server lives, and the wait is longer than its life.
        with serve(data_dir, **settings(hook, "[3]")) as server:
            _, ids = hand_over(server)
            # Killed before the refusal is kept, it would be sent again only when its lease has run out.
            with server.client() as client:
                wait_until(lambda: 'hand_overs_total{result="failed"} 1.0' in client.get("/metrics").text)
            assert len(hook.attempts) == 1
            server.kill()
        with serve(data_dir, **settings(hook, "[3]")):
            wait_until(lambda: len(hook.attempts) == 2)
        assert [head["webhook-id"] for head, _ in hook.attempts] == [ids[0]] * 2


def test_nothing_is_handed_over_where_nobody_takes_it(live: Live) -> None:
    with live.client() as client:
        session = ask(client, STRANGE)[0].data["session_id"]
        assert client.post(f"/sessions/{session}/hand-over", json={}).status_code == 404


def test_a_conversation_of_somebody_else_is_not_handed_over(data_dir: Path) -> None:
    with desk() as hook, serve(data_dir, **settings(hook)) as server, server.client() as client:
        assert client.post(f"/sessions/s_{'a' * 24}/hand-over", json={}).status_code == 404
        assert client.post("/sessions/x/hand-over", json={}).status_code == 422
    assert hook.attempts == []


@pytest.mark.parametrize("secret", ["", "secret", "whsec_c2hvcnQ=", "whsec_!!"])
def test_a_webhook_without_a_good_secret_is_refused(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (base64 has words of its own)
        secret_bytes(secret)
    with desk() as hook:
        given = settings(hook) | {"SMARTSTORE_HAND_OVER__SECRET": secret}
    done = smartstore(tmp_path, "settings", **given)
    assert done.returncode == 1
    assert "hand_over" in done.stderr


async def test_two_processes_do_not_send_the_same(state: State) -> None:
    first, second = Deliveries(state), Deliveries(state)
    assert await first.put("h_1", "{}", session_id="s_1", owner="a")
    assert not await second.put("h_1", "{}", session_id="s_1", owner="a")
    assert [each.id for each in await first.claim(8, lease_s=60)] == ["h_1"]
    assert await second.claim(8, lease_s=60) == []
    await first.failed("h_1", "status 500", again_s=0.0)
    [again] = await second.claim(8, lease_s=60)
    assert again.attempt == 2
    await second.done("h_1")
    assert await first.claim(8, lease_s=0) == []
    assert not await first.put("h_1", "{}", session_id="s_1", owner="a"), (
        "what was delivered is not sent again"
    )


async def test_a_session_takes_its_hand_overs_with_it(state: State) -> None:
    queue = Deliveries(state)
    for id in ("h_due", "h_sent", "h_dead", "h_other"):
        await queue.put(id, "{}", session_id="s_other" if id == "h_other" else "s_1", owner="a")
    [dead] = [each for each in await queue.claim(8, lease_s=0) if each.id == "h_dead"]
    await queue.failed(dead.id, "status 500", again_s=None)
    assert not await queue.erase("s_1", owner="somebody else")
    assert await queue.erase("s_1", owner="a")
    assert not await queue.erase("s_1", owner="a")
    # The one that was being sent all the while fails, and stays erased.
    await queue.failed("h_sent", "status 500", again_s=0.0)
    await queue.failed("h_sent", "status 500", again_s=None)
    assert await queue.dead() == []
    assert [each.id for each in await queue.claim(8, lease_s=0)] == ["h_other"]
    assert not await queue.put("h_due", "{}", session_id="s_1", owner="a")


def test_a_deleted_session_leaves_no_dead_letter(data_dir: Path) -> None:
    with desk() as hook:
        hook.refuses = 2
        with serve(data_dir, **settings(hook, "[0.1]")) as server, server.client() as client:
            session, ids = hand_over(server)
            wait_until(lambda: ids[0] in dead(data_dir, hook, "list"))
            assert client.delete(f"/sessions/{session}").status_code == 204
            assert "0 dead hand-overs" in dead(data_dir, hook, "list")
            assert "0 dead hand-overs" in dead(data_dir, hook, "retry")
