"""What messengers share: who asks, one turn a message, an answer in time or afterwards, each once.

A messenger waits five seconds for an answer. What is ready by then goes into the response; what is
not is sent afterwards, by a way that each messenger has of its own. Knows no messenger's format.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
from starlette.types import Scope as ASGIScope

from api.access.auth import Caller
from api.access.keys import Key
from api.errors import ApiError, NotFound
from api.events import Sources, Suggestions, TurnCompleted, TurnFailed
from api.history.rating import rate_turn
from api.history.store import Rating
from api.services import Services
from api.turns.start import Question, ask

log = structlog.get_logger(__name__)
# A platform delivers again what it thinks was lost: within seconds, and for a few minutes at most.
_REMEMBERED_S = 600
_RATED_S = 86_400
# Without an id, the same words may be a second delivery, or a user who asks again: both are seconds apart.
_ALIKE_S = 20
_CONNECT_AGAIN_S = (0.5, 2.0)
# What a user sends to rate the last answer, as the buttons below it say.
RATINGS: dict[str, Rating] = {"도움이 됐어요": "up", "아쉬워요": "down"}
_CUT = "\n\n(끝까지 오지 못하고 끊긴 답변입니다.)"
_CITATION = re.compile(r"\s*\[\d{1,3}\]")
_MARKS = re.compile(r"\*\*|__|`|^#{1,4}\s+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EventId:
    """What tells an event from others; `given` by the platform, or made from the event itself."""

    text: str
    given: bool


class SecondsLeft:
    """What is left of the time for a response, from when the event came in."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, 0 where none are left."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True, slots=True)
class ChannelReply:
    """An answer as a messenger shows it.

    Attributes:
        text: without citations and marks of emphasis.
        sources: titles of the FAQs that it cites.
        offers: questions that can be asked next, or are likeliest meant.
        wants_person: the FAQ has no answer, or a person was asked for.
        rateable: it answers a question, and what the user thinks of it is kept.
    """

    text: str
    sources: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    wants_person: bool = False
    rateable: bool = False

    def shown(self, most: int) -> str:
        """The text with its sources, in at most `most` characters; says so where it was cut."""
        sources = "".join(f"\n· {title}" for title in self.sources)
        tail = f"\n\n출처{sources}" if sources else ""
        if len(self.text) + len(tail) <= most:
            return self.text + tail
        cut = "…\n(이어지는 내용은 출처의 FAQ에 있습니다.)"
        if len(tail) + len(cut) > most // 2:
            tail = ""
        return self.text[: most - len(tail) - len(cut)] + cut + tail


class Messenger:
    """Conversations of one messenger's users.

    Args:
        services: open services.
        name: of the channel, e.g. `talktalk`; owns its sessions.
        per_minute: messages of one user.
    """

    def __init__(self, services: Services, name: str, *, per_minute: int) -> None:
        self._services, self.name, self._per_minute = services, name, per_minute
        self._late: set[asyncio.Task[None]] = set()

    async def is_first(self, event: EventId) -> bool:
        """False where this event was delivered before."""
        state, key = (
            self._services.state,
            self._services.state.key("channel", f"{self.name}:event:{event.text}"),
        )
        lives_s = _REMEMBERED_S if event.given else _ALIKE_S
        set_: Any = state.redis.set(key, "1", nx=True, ex=lives_s)
        return bool(await state.call(set_))

    async def begin(self, user: str, text: str, *, event: EventId) -> str:
        """Starts a turn in the user's conversation, once for an event. Raises `ApiError`."""
        event_id = event.text if event.given else ""
        person = self.person(user)
        scopes = frozenset({"chat"})
        key = Key(f"vs_{self.name}_{person}", self.name, scopes, self._per_minute)  # type: ignore[arg-type]
        await self._services.access.rates.take(key)
        caller = Caller(self.name, frozenset({"chat"}))
        session_id = await self._session(person)
        question = Question(text, session_id, idempotency_key=event_id, channel=self.name)
        try:
            begun = await ask(self._services, caller, question)
        except NotFound:
            # The conversation has expired.
            fresh = await self._session(person, anew=True)
            again = Question(text, fresh, idempotency_key=event_id and f"{event_id}+", channel=self.name)
            begun = await ask(self._services, caller, again)
        last = self._services.state.redis.set(self._last_key(user), begun.turn_id, ex=_RATED_S)
        await self._services.state.call(last)
        return begun.turn_id

    async def rate(self, user: str, text: str) -> ChannelReply | None:
        """Keeps what the user thinks of the last answer; None where the text is no rating of one."""
        rating, state = RATINGS.get(text.strip()), self._services.state
        if rating is None or self._services.history is None:
            return None
        turn_id: Any = await state.call(state.redis.get(self._last_key(user)))
        if not turn_id:
            return None
        try:
            caller = Caller(self.name, frozenset({"chat"}))
            await rate_turn(self._services, caller, str(turn_id), rating)
        except ApiError as exc:
            return ChannelReply(exc.message)
        return ChannelReply("의견 고맙습니다.")

    async def reply(self, turn_id: str) -> ChannelReply:
        """The turn's answer, once it has ended; a failure is told in words."""
        titles: dict[int, str] = {}
        offers: tuple[str, ...] = ()
        try:
            async with aclosing(self._services.follow(turn_id)) as events:
                async for _, event in events:
                    match event:
                        case Sources(sources=sources):
                            titles = {source.n: source.question for source in sources}
                        case Suggestions(suggestions=suggestions):
                            offers = tuple(each.question for each in suggestions)
                        case TurnFailed(message=message):
                            return ChannelReply(message)
                        case TurnCompleted():
                            cited = tuple(titles[n] for n in event.citations if n in titles)
                            person = event.intent == "person"
                            lost = event.verdict == "not_found" or person
                            rateable = self._services.history is not None and event.intent == "question"
                            cut = _CUT if event.truncated and not event.stopped else ""
                            return ChannelReply(plain(event.answer) + cut, cited, offers, lost, rateable)
                        case _:
                            pass
        except ApiError as exc:
            return ChannelReply(exc.message)
        return ChannelReply("답변을 받지 못했습니다. 다시 질문해 주세요.")

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on with `work` after the response."""
        task = asyncio.create_task(work, name=f"late-{self.name}")
        self._late.add(task)
        task.add_done_callback(self._done)

    async def drain(self, timeout_s: float) -> None:
        """Waits for what goes on after responses."""
        if self._late:
            await asyncio.wait(self._late, timeout=timeout_s)
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def keep_for(self, user: str, turn_id: str, waiting: asyncio.Future[ChannelReply]) -> None:
        """Keeps an answer that came too late, until the user asks for it."""
        state = self._services.state
        await state.call(state.redis.set(self._late_key(user), turn_id, ex=_REMEMBERED_S))

        async def follow() -> None:
            # A turn that nobody follows would be given up.
            await waiting

        self.later(follow())

    async def kept_for(self, user: str) -> str | None:
        """The turn whose answer was kept for the user."""
        found: Any = await self._services.state.call(self._services.state.redis.get(self._late_key(user)))
        return str(found) if found else None

    async def forget(self, user: str) -> None:
        """The next message of this user begins a new conversation."""
        await self._services.state.call(self._services.state.redis.delete(self._user_key(self.person(user))))

    def person(self, user: str) -> str:
        """A user's id as it is kept: nobody can tell the platform's own from it."""
        return hashlib.sha256(f"{self.name}:{user}".encode()).hexdigest()[:24]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("channel.late_reply_failed", channel=self.name, error=repr(task.exception()))

    async def _session(self, person: str, *, anew: bool = False) -> str:
        """The user's conversation; one is begun where there is none."""
        state, key = self._services.state, self._user_key(person)
        lives_s = self._services.settings.state.session_ttl_s
        found: Any = None if anew else await state.call(state.redis.get(key))
        if found:
            return str(found)
        made = (await self._services.sessions.create(owner=self.name)).session_id
        mine: Any = state.redis.set(key, made, nx=True, ex=lives_s)
        if await state.call(mine) or anew:
            await state.call(state.redis.set(key, made, ex=lives_s))
            return made
        return str(await state.call(state.redis.get(key)))

    def _last_key(self, user: str) -> str:
        return self._services.state.key("channel", f"{self.name}:last:{self.person(user)}")

    def _late_key(self, user: str) -> str:
        return self._services.state.key("channel", f"{self.name}:late:{self.person(user)}")

    def _user_key(self, person: str) -> str:
        return self._services.state.key("channel", f"{self.name}:user:{person}")


async def send_once(http: httpx.AsyncClient, url: str, **request: Any) -> httpx.Response:
    """Posts to a platform; again only where no connection was made: a message must not come twice.

    Raises:
        httpx.HTTPError: it could not be sent, or nobody knows whether it was taken.
    """
    for wait_s in _CONNECT_AGAIN_S:
        try:
            return await http.post(url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            await asyncio.sleep(wait_s)
    return await http.post(url, **request)


def plain(text: str) -> str:
    """An answer's text for a messenger that knows no marks."""
    return _MARKS.sub("", _CITATION.sub("", text)).strip()


def event_id_of(body: Mapping[str, Any], *, named: Sequence[str] = ("eventId", "id")) -> EventId:
    """The id that the platform gives an event; without one, what tells this event from others."""
    for name in named:
        if isinstance(value := body.get(name), str | int) and value != "":
            return EventId(hashlib.sha256(f"{name}:{value}".encode()).hexdigest()[:32], True)
    return EventId(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32], False)


def comes_from(scope: ASGIScope, networks: Sequence[str]) -> bool:
    """Whether a request comes from one of the networks; from anywhere where there are none."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0] if client else "")
        return not networks or any(address in ipaddress.ip_network(each) for each in networks)
    except ValueError:
        return not networks
