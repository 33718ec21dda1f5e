"""The runner seam over both implementations, and what only a queue can do, on a real RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest

from api.errors import NotFound, Overloaded, QueueUnavailable
from api.events import TurnCompleted
from api.state.broker import Broker, open_broker
from api.state.connection import State
from api.turns.records import encode_request
from api.turns.runners.base import TurnRequest
from api.turns.runners.waiting import WaitingTime
from api.turns.saved import new_turn_id
from tests.api.turns.queue_kit import AMQP, front, runner, worker
from tests.api.turns.turn_kit import ANSWER, OWNER, Process, ScriptedConversation

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.rabbitmq


@pytest.fixture(params=["inline", "queued"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each runner in turn."""
    return str(request.param)


async def until(condition: object, seconds: float = 60.0) -> None:
    """Waits until the awaited `condition()` is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def refuse(api: Process, question: str = "정산 주기가 궁금해요") -> TurnRequest:
    """Asks one turn more than fits and returns its request."""
    request = TurnRequest(new_turn_id(), "", question, "extractive")
    await api.turns.begin(request, owner=OWNER)
    with pytest.raises(Overloaded) as refused:
        await api.runner.start(request)
    assert refused.value.retry_after
    return request


async def test_runner_answers_and_saves_a_turn(kind: str, embedded_state: State, broker: Broker) -> None:
    async with runner(kind, embedded_state, broker, ScriptedConversation()) as api:
        session = await api.sessions.create(owner=OWNER)
        turn_id = await api.ask(session.session_id)
        events = await api.events(turn_id)
        assert [n for n, _ in events] == list(range(1, 10))
        assert isinstance(events[-1][1], TurnCompleted)
        [saved] = await api.turns.history(session.session_id, owner=OWNER)
        assert (saved.answer, saved.status) == (ANSWER, "completed")


async def test_runner_stops_a_turn_in_mid_answer(kind: str, embedded_state: State, broker: Broker) -> None:
    slow = ScriptedConversation(pause_s=0.5)
    async with runner(kind, embedded_state, broker, slow) as api:
        turn_id = await api.ask("")
        async for _, event in api.turns.follow(turn_id):
            if event.type == "delta":
                await api.runner.stop(turn_id)
            final = event
        assert isinstance(final, TurnCompleted)
        assert final.stopped
        assert slow.closed == [turn_id]


async def test_runner_ignores_a_stop_of_unknown_and_ended_turns(
    kind: str, embedded_state: State, broker: Broker
) -> None:
    async with runner(kind, embedded_state, broker, ScriptedConversation()) as api:
        turn_id = await api.ask("")
        events = await api.events(turn_id)
        await api.runner.stop(turn_id)
        await api.runner.stop(new_turn_id())
        assert await api.events(turn_id) == events


async def test_worker_given_back_turns_are_finished_by_another(embedded_state: State, broker: Broker) -> None:
    slow, quick = ScriptedConversation(pause_s=0.4), ScriptedConversation()
    async with front(embedded_state, broker) as api:
        async with worker(embedded_state, broker, slow):
            turn_id = await api.ask("")
            following = asyncio.create_task(api.events(turn_id))
            await until(lambda: _written(api, turn_id, 3))
        async with worker(embedded_state, broker, quick):
            events = await asyncio.wait_for(following, 60)
    check_whole(events)


async def test_full_queue_refuses_and_forgets_the_turn(embedded_state: State, broker: Broker) -> None:
    async with front(embedded_state, broker) as api:
        # A quorum queue notices that it is full a few messages late.
        taken = []
        with contextlib.suppress(Overloaded):
            while len(taken) < 20:
                taken.append(await api.ask(""))
        assert 3 <= len(taken) <= 6
        refused = await refuse(api)
        with pytest.raises(NotFound):
            await api.turns.status(refused.turn_id)
        async with worker(embedded_state, broker, ScriptedConversation()):
            for turn_id in taken:
                assert (await api.events(turn_id))[-1][1].type == "turn.completed"


async def test_long_wait_refuses_new_turns_until_it_falls(embedded_state: State, broker: Broker) -> None:
    async with front(embedded_state, broker, max_wait_s=0.5) as api:
        waiting = await api.ask("")
        await asyncio.sleep(0.8)
        async with worker(embedded_state, broker, ScriptedConversation()):
            assert (await api.events(waiting))[-1][1].type == "turn.completed"
        refused = await refuse(api)
        with pytest.raises(NotFound):
            await api.turns.status(refused.turn_id)
        # The next turn that is taken at once tells of a short wait.
        await WaitingTime(embedded_state, limit_s=0).tell(0.01)
        await asyncio.sleep(0.3)
        assert (await api.turns.status(await api.ask(""))) == "queued"


async def test_stop_ends_a_turn_that_still_waits(embedded_state: State, broker: Broker) -> None:
    conversation = ScriptedConversation(pause_s=0.2)
    async with front(embedded_state, broker) as api:
        turn_id = await api.ask("")
        await api.runner.stop(turn_id)
        async with worker(embedded_state, broker, conversation):
            events = await api.events(turn_id)
    assert isinstance(events[-1][1], TurnCompleted)
    assert events[-1][1].stopped
    assert events[-1][1].answer == ""


async def test_turn_delivered_twice_is_answered_once(embedded_state: State, broker: Broker) -> None:
    conversation = ScriptedConversation(pause_s=0.05)
    async with worker(embedded_state, broker, conversation), front(embedded_state, broker) as api:
        turn_id = await api.ask("")
        body = encode_request(await api.turns.request(turn_id)).encode()
        await broker.publish("turns", body, message_id=turn_id)
        events = await api.events(turn_id)
        await until(lambda: _idle(broker))
        assert await api.events(turn_id) == events
    assert [n for n, _ in events] == list(range(1, 10))
    assert conversation.begun == 1


async def test_killed_worker_leaves_a_turn_that_another_finishes(
    embedded_url: str, embedded_state: State, broker: Broker
) -> None:
    names = [embedded_url, embedded_state.prefix, AMQP, embedded_state.prefix.strip(":")]
    doomed = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.api.turns.queue_kit", *names, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert doomed.stdout is not None
    assert (await asyncio.wait_for(doomed.stdout.readline(), 60)) == b"ready\n"
    async with front(embedded_state, broker) as api:
        turn_id = await api.ask("")
        following = asyncio.create_task(api.events(turn_id))
        await until(lambda: _written(api, turn_id, 4))
        doomed.send_signal(signal.SIGKILL)
        await doomed.wait()
        async with worker(embedded_state, broker, ScriptedConversation()):
            events = await asyncio.wait_for(following, 60)
            await until(lambda: _idle(broker))
    check_whole(events)
    assert sum(event.type == "provider.switched" for _, event in events) == 1


async def test_dead_letters_are_listed_and_put_back(embedded_state: State, broker: Broker) -> None:
    async with front(embedded_state, broker) as api:
        turn_id = await api.ask("")
        async with broker.connection.channel() as channel:
            queue = await channel.get_queue(broker.queue_name("turns"))
            message = await queue.get(timeout=60)
            await message.reject(requeue=False)
        await until(lambda: _dead(broker, 1))
        assert await broker.dead_letters("turns", retry=False) == [turn_id]
        await until(lambda: _dead(broker, 1))
        assert await broker.dead_letters("turns", retry=True) == [turn_id]
        assert await broker.dead_letters("turns", retry=False) == []
        async with worker(embedded_state, broker, ScriptedConversation()):
            check_whole(await api.events(turn_id))


async def test_message_that_breaks_the_worker_is_dead_at_once(embedded_state: State, broker: Broker) -> None:
    async with worker(embedded_state, broker, ScriptedConversation()), front(embedded_state, broker) as api:
        await broker.publish("turns", "질문이 아닌 것".encode(), message_id="고장")
        await until(lambda: _dead(broker, 1))
        assert (await api.events(await api.ask("")))[-1][1].type == "turn.completed"
        assert await broker.dead_letters("turns", retry=False) == ["고장"]


async def test_turn_delivered_too_often_is_dead(embedded_state: State, broker: Broker) -> None:
    async with front(embedded_state, broker) as api:
        turn_id = await api.ask("")
        async with broker.connection.channel() as channel:
            queue = await channel.get_queue(broker.queue_name("turns"))
            for _ in range(4):
                await until(lambda: _waiting(broker))
                message = await queue.get(timeout=60)
                await message.nack(requeue=True)
        await until(lambda: _dead(broker, 1))
        assert await broker.dead_letters("turns", retry=False) == [turn_id]


async def test_publishing_into_a_deleted_queue_is_never_silent(broker: Broker) -> None:
    await broker.publish("turns", b"1", message_id="1")
    async with broker.connection.channel() as channel:
        await channel.queue_delete(broker.queue_name("turns"))
    await broker.publish("turns", b"2", message_id="2")
    assert await broker.depth("turns") == 1


async def test_queue_of_other_settings_is_named(broker: Broker, prefix: str) -> None:
    with pytest.raises(QueueUnavailable, match=broker.queue_name("turns")):
        async with open_broker(AMQP, prefix=prefix.strip(":"), max_length=99):
            pytest.fail("two lengths for one queue")


async def test_missing_broker_is_named_at_once() -> None:
    with pytest.raises(QueueUnavailable, match="SMARTSTORE_QUEUE__URL"):
        async with open_broker("amqp://guest:guest@127.0.0.1:1/"):
            pytest.fail("nothing listens there")


def check_whole(events: list[tuple[int, object]]) -> None:
    """Numbered without gap or repeat, one end, and the text since the last new start is the answer."""
    assert [n for n, _ in events] == list(range(1, len(events) + 1))
    text = ""
    for _, event in events:
        if event.type == "provider.switched":  # type: ignore[attr-defined]
            text = ""
        text += getattr(event, "text", "")
    final = events[-1][1]
    assert isinstance(final, TurnCompleted)
    assert final.answer == text == ANSWER
    assert sum(isinstance(event, TurnCompleted) for _, event in events) == 1


async def _written(api: Process, turn_id: str, count: int) -> bool:
    with contextlib.suppress(NotFound):
        return await api.log.last(turn_id) >= count
    return False


async def _idle(broker: Broker) -> bool:
    return await broker.depth("turns") == 0


async def _waiting(broker: Broker) -> bool:
    return await broker.depth("turns") == 1


async def _dead(broker: Broker, count: int) -> bool:
    return await broker.depth("turns", dead=True) == count
