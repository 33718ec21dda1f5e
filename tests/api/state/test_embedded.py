"""The embedded Valkey: shared, adopted after a kill, and clear about what it cannot do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api.events import TurnFailed
from api.state.connection import open_state
from api.state.embedded import EmbeddedStateError, answers, embedded_valkey, socket_path
from tests.api.turns.turn_kit import ANSWER, OWNER, process
from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parents[3]

# A whole process of ours: three turns to the end, then one that it will not finish.
CHILD = """
import asyncio, json, sys
from pathlib import Path
from api.state.connection import open_state
from tests.api.turns.turn_kit import OWNER, ScriptedConversation, process

async def main() -> None:
    conversation = ScriptedConversation()
    async with open_state("embedded://", data_dir=Path(sys.argv[1])) as state:
        async with process(state, conversation, lease_s=1.5) as one:
            session = (await one.sessions.create(owner=OWNER)).session_id
            finished = []
            for number in range(3):
                finished.append(await one.ask(session, f"질문 {number}"))
                await one.events(finished[-1])
            conversation.pause_s = 0.2
            conversation.pieces = ("끝나지 않는 ",) * 500
            cut = await one.ask(session, "끊길 질문")
            async for number, event in one.turns.follow(cut):
                if number == 5:
                    print(json.dumps({"session": session, "finished": finished, "cut": cut}), flush=True)

asyncio.run(main())
"""


def valkey_pid(folder: Path) -> int:
    return int((folder / "valkey.pid").read_text())


def start_child(folder: Path) -> tuple[subprocess.Popen[str], dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


@pytest.mark.parametrize("valkey_dies_too", [False, True])
async def test_killed_process_loses_no_finished_turn(tmp_path: Path, valkey_dies_too: bool) -> None:
    child, told = await asyncio.to_thread(start_child, tmp_path)
    if valkey_dies_too:
        os.kill(valkey_pid(tmp_path), signal.SIGKILL)
    child.kill()
    child.communicate()
    if valkey_dies_too:
        await asyncio.to_thread(wait_until, lambda: not answers(socket_path(tmp_path)))

    async with (
        open_state("embedded://", data_dir=tmp_path) as state,
        process(state, lease_s=1.5) as one,
    ):
        replay = await asyncio.wait_for(one.events(str(told["cut"]), after=3), 60)
        assert [number for number, _ in replay] == list(range(4, 4 + len(replay)))
        final = replay[-1][1]
        assert isinstance(final, TurnFailed)
        assert final.code == "interrupted"
        turns = await one.turns.history(str(told["session"]), owner=OWNER)
        assert [turn.turn_id for turn in turns] == [*told["finished"], told["cut"]]  # type: ignore[misc]
        assert [turn.status for turn in turns] == ["completed"] * 3 + ["failed"]
        assert {turn.answer for turn in turns[:3]} == {ANSWER}
        for turn_id in told["finished"]:  # type: ignore[attr-defined]
            assert len(await one.events(turn_id)) == 9
        await one.events(await one.ask(str(told["session"]), "다시 물어봅니다"))
    assert not answers(socket_path(tmp_path))


async def test_cut_turn_is_failed_in_the_history_without_a_follower(tmp_path: Path) -> None:
    child, told = await asyncio.to_thread(start_child, tmp_path)
    child.kill()
    child.communicate()
    async with open_state("embedded://", data_dir=tmp_path) as state, process(state) as one:
        await asyncio.sleep(2.0)
        turns = await one.turns.history(str(told["session"]), owner=OWNER)
        assert [turn.status for turn in turns] == ["completed"] * 3 + ["failed"]


async def test_second_process_shares_the_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as first:
        pid = valkey_pid(tmp_path)
        async with embedded_valkey(tmp_path) as second:
            assert second == first
            assert valkey_pid(tmp_path) == pid
        assert answers(first)
    assert not answers(first)


async def test_server_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    starter, user = embedded_valkey(tmp_path), embedded_valkey(tmp_path)
    path = await starter.__aenter__()
    await user.__aenter__()
    await starter.__aexit__(None, None, None)
    assert answers(path)
    await user.__aexit__(None, None, None)
    assert not answers(path)


async def test_two_processes_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    async def use() -> int:
        async with embedded_valkey(tmp_path) as path:
            assert answers(path)
            await asyncio.sleep(0.5)
            return valkey_pid(tmp_path)

    assert len(set(await asyncio.gather(use(), use(), use()))) == 1


async def test_folder_with_a_long_path_works(tmp_path: Path) -> None:
    deep = tmp_path / ("긴폴더이름" * 5) / ("깊은곳" * 12)
    assert len(os.fsencode(deep)) > 107
    async with open_state("embedded://", data_dir=deep) as state:
        await state.ping()
        assert (deep / "appendonlydir").is_dir()
    async with open_state("embedded://", data_dir=deep) as state:
        await state.ping()


async def test_folder_with_spaces_and_quotes_in_its_name_works(tmp_path: Path) -> None:
    async with open_state("embedded://", data_dir=tmp_path / 'a "b" c\\d') as state:
        await state.ping()


async def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "파일").write_text("폴더가 아님")
    for folder in (tmp_path / "파일" / "state", Path("/proc/smartstore")):
        with pytest.raises(EmbeddedStateError, match=str(folder)):
            async with open_state("embedded://", data_dir=folder):
                pytest.fail("opened")


async def test_damaged_append_only_file_is_reported_with_the_log(tmp_path: Path) -> None:
    async with open_state("embedded://", data_dir=tmp_path) as state:
        await state.redis.set("키", "값", ex=60)
    [journal] = (tmp_path / "appendonlydir").glob("*.incr.aof")
    journal.write_bytes(b"*3\r\n$3\r\nSET\r\nnot a journal" * 3)
    with pytest.raises(EmbeddedStateError, match="AOF"):
        async with open_state("embedded://", data_dir=tmp_path):
            pytest.fail("opened")


async def test_unknown_scheme_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memcached"):
        async with open_state("memcached://x", data_dir=tmp_path):
            pytest.fail("opened")
