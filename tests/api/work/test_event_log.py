"""Following a log: readers that are ahead, late, many, or that leave."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from api.events import Delta, TurnFailed
from api.state.connection import State
from api.turns.runners.base import TurnRequest
from api.turns.saved import new_turn_id
from api.work.feed import Feed
from tests.api.turns.turn_kit import OWNER, ScriptedConversation, process

END = TurnFailed(code="x", message="끝", retryable=False)


async def begun(one: object) -> str:
    request = TurnRequest(new_turn_id(), "", "정산은 언제 되나요?", "extractive")
    await one.turns.begin(request, owner=OWNER)  # type: ignore[attr-defined]
    return request.turn_id


async def test_reader_ahead_of_a_log_that_lost_its_tail_still_gets_the_end(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        turn_id = await begun(one)
        await one.log.append_all(turn_id, 1, [Delta(text="가"), END])
        assert await one.events(turn_id, after=7) == [(2, END)]
        assert await one.events(turn_id, after=2) == []


async def test_events_written_while_the_reader_joins_come_once(embedded_state: State) -> None:
    async with process(embedded_state) as one, process(embedded_state) as other:
        for _ in range(10):
            turn_id = await begun(one)

            async def write(turn_id: str = turn_id) -> None:
                for number in range(1, 30):
                    await one.log.append(turn_id, number, Delta(text=str(number)))
                await one.log.append(turn_id, 30, END)

            _, events = await asyncio.gather(write(), other.events(turn_id))
            assert [number for number, _ in events] == list(range(1, 31))


async def test_reader_that_leaves_is_not_counted(embedded_state: State) -> None:
    async with process(embedded_state, ScriptedConversation(pause_s=0.05)) as one:
        turn_id = await one.ask("")
        async with aclosing(one.turns.follow(turn_id)) as events:
            async for _ in events:
                assert one.log.followers(turn_id) == 1
                break
        assert one.log.followers(turn_id) == 0
        await one.events(turn_id)


async def test_text_with_line_breaks_reaches_another_process_unchanged(embedded_state: State) -> None:
    text = "첫 줄\n둘째 줄\r\n\u2028셋째 줄\x85끝"
    async with (
        process(embedded_state, ScriptedConversation(pause_s=0.05, pieces=(text, text))) as one,
        process(embedded_state) as other,
    ):
        turn_id = await one.ask("")
        events = await other.events(turn_id)
        assert [event.text for _, event in events if isinstance(event, Delta)] == [text, text]


async def test_50_readers_of_one_turn_share_one_subscription(embedded_state: State) -> None:
    async with (
        process(embedded_state, ScriptedConversation(pause_s=0.05)) as one,
        process(embedded_state) as other,
    ):
        turn_id = await one.ask("")
        first, *rest = await asyncio.gather(*(other.events(turn_id) for _ in range(50)))
        assert len(first) == 9
        assert all(events == first for events in rest)
        assert await embedded_state.redis.pubsub_numsub(f"{embedded_state.prefix}events:{turn_id}") == [
            (f"{embedded_state.prefix}events:{turn_id}", 0)
        ]


async def test_same_idempotency_key_at_the_same_moment_begins_one_turn(embedded_state: State) -> None:
    async with process(embedded_state) as one:
        requests = [TurnRequest(new_turn_id(), "", "반품은요?", "extractive") for _ in range(8)]
        begun_turns = await asyncio.gather(
            *(one.turns.begin(r, owner=OWNER, idempotency_key="동시", fingerprint="f") for r in requests)
        )
        assert sum(turn.created for turn in begun_turns) == 1
        assert len({turn.turn_id for turn in begun_turns}) == 1


async def test_feed_skips_what_it_knows() -> None:
    feed = Feed(base=2)
    feed.add(3, [Delta(text="가")])
    feed.add(3, [Delta(text="가"), Delta(text="나")])
    feed.close()
    async with aclosing(feed.follow(2)) as events:
        assert [(n, e.text) async for n, e in events if isinstance(e, Delta)] == [(3, "가"), (4, "나")]
