"""The store dies, stalls or restarts under running turns; nothing of ours is restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis

from api.errors import StateUnavailable
from api.events import Delta
from api.state.breaker import Breaker
from api.state.connection import State, open_state
from tests.api.turns.turn_kit import OWNER, Process, ScriptedConversation, process
from tests.conftest import answers, free_port, wait_until

PIECES = tuple(f"{number}번째 조각 " for number in range(40))


async def read(reader: Process, turn_id: str) -> str:
    """Follows a turn; checks that each event comes once and in order; returns its text."""
    events = await reader.events(turn_id)
    assert [n for n, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][1].type == "turn.completed"
    return "".join(event.text for _, event in events if isinstance(event, Delta))


async def start_turns(one: Process, other: Process, session: str, *, count: int) -> list[asyncio.Task[str]]:
    """Begins `count` turns, each read in its own or in another process."""
    ids = [await one.ask(session, f"질문 {number}") for number in range(count)]
    readers = [asyncio.create_task(read((one, other)[i % 2], turn_id)) for i, turn_id in enumerate(ids)]
    await asyncio.sleep(0.5)
    return readers


async def test_embedded_valkey_killed_under_running_turns_loses_nothing(tmp_path: Path) -> None:
    conversation = ScriptedConversation(pause_s=0.05, pieces=PIECES)
    async with (
        open_state("embedded://", data_dir=tmp_path) as state,
        process(state, conversation, lease_s=6) as one,
        process(state, lease_s=6) as other,
    ):
        session = (await one.sessions.create(owner=OWNER)).session_id
        readers = await start_turns(one, other, session, count=12)
        os.kill(int((tmp_path / "valkey.pid").read_text()), signal.SIGKILL)
        assert set(await asyncio.gather(*readers)) == {"".join(PIECES)}
        turns = await one.turns.history(session, owner=OWNER)
        assert [turn.status for turn in turns] == ["completed"] * 12
        assert await read(one, await one.ask(session)) == "".join(PIECES)


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--bind", "127.0.0.1"]
    command = ["redis-server", "--port", str(port), "--dir", str(folder), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with redis.Redis(port=port) as client:
        wait_until(lambda: answers(client))
    return server


async def test_redis_restart_under_running_turns_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.to_thread(start_redis, port, tmp_path)
    conversation = ScriptedConversation(pause_s=0.05, pieces=PIECES)
    try:
        async with (
            open_state(f"redis://127.0.0.1:{port}", data_dir=tmp_path) as state,
            process(state, conversation, lease_s=6) as one,
            process(state, lease_s=6) as other,
        ):
            readers = await start_turns(one, other, "", count=8)
            server.terminate()
            await asyncio.to_thread(server.wait, 60)
            await asyncio.sleep(1.5)
            server = await asyncio.to_thread(start_redis, port, tmp_path)
            assert set(await asyncio.gather(*readers)) == {"".join(PIECES)}
            late = await one.ask("")
            stopper = asyncio.create_task(read(other, late))
            await asyncio.sleep(0.2)
            await other.runner.stop(late)
            assert len(await stopper) < len("".join(PIECES))
    finally:
        server.terminate()
        server.wait(60)


async def test_stalled_store_fails_fast_and_recovers(tmp_path: Path) -> None:
    async with open_state("embedded://", data_dir=tmp_path) as state:
        await state.ping()
        pid = int((tmp_path / "valkey.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            outcomes = await asyncio.gather(*(state.ping() for _ in range(40)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StateUnavailable}
            # One after another they would take 80 s.
            assert time.monotonic() - began < 40
            began = time.monotonic()
            with pytest.raises(StateUnavailable) as caught:
                await state.ping()
            # A call that was tried would take two.
            assert time.monotonic() - began < 1.5
            assert caught.value.retry_after
        finally:
            os.kill(pid, signal.SIGCONT)
        await recovered(state)


async def test_store_that_is_not_there_is_unavailable_until_it_is(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    async with open_state(f"redis://127.0.0.1:{port}", data_dir=tmp_path) as state:
        with pytest.raises(StateUnavailable):
            await state.ping()
        async with process(state) as one:
            with pytest.raises(StateUnavailable):
                await one.sessions.create(owner=OWNER)
        server = await asyncio.to_thread(start_redis, port, tmp_path)
        try:
            await recovered(state)
        finally:
            server.terminate()
            server.wait(60)


async def recovered(state: State) -> None:
    """Waits until the store answers again."""
    for _ in range(600):
        try:
            return await state.ping()
        except StateUnavailable:
            await asyncio.sleep(0.1)
    pytest.fail("the state store did not come back")


def test_breaker_opens_after_failures_and_lets_one_probe_through() -> None:
    moment = [0.0]
    breaker = Breaker(failures=3, away_s=2, slow_s=1, clock=lambda: moment[0])
    for _ in range(3):
        breaker.enter()
        breaker.failed()
    assert breaker.is_open
    with pytest.raises(StateUnavailable):
        breaker.enter()
    moment[0] = 2.5
    started = breaker.enter()
    with pytest.raises(StateUnavailable):
        breaker.enter()
    breaker.succeeded(started)
    assert not breaker.is_open
    breaker.enter()


def test_breaker_counts_slow_answers_and_forgets_after_a_quick_one() -> None:
    moment = [0.0]
    breaker = Breaker(failures=2, away_s=2, slow_s=1, clock=lambda: moment[0])
    for slow in (True, False, True):
        started = breaker.enter()
        moment[0] += 1.5 if slow else 0.1
        breaker.succeeded(started)
        assert not breaker.is_open
    started = breaker.enter()
    moment[0] += 1.5
    breaker.succeeded(started)
    assert breaker.is_open
