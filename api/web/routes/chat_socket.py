"""Turns over one WebSocket: `ask`, `stop` and `resume` in, the same events as SSE out.

Each outgoing message is `{"turn_id", "id", "event", "data"}`; a bad message gets an `error`
event without a turn and the socket stays open.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from api.access.auth import Caller
from api.errors import ApiError, InvalidRequest, Unauthorized
from api.events import TurnEvent, TurnFailed, event_data
from api.services import Services
from api.text import RequestBody
from api.turns.start import Question, ask
from api.web.routes.dependencies import CallerDep, ServicesDep

router = APIRouter()
_MAX_FOLLOWED = 16
# Close codes of RFC 6455 and its registry.
_POLICY, _RESTART = 1008, 1012
_LAST_EVENTS_S = 1.0


class _Message(RequestBody):
    model_config = ConfigDict(extra="forbid")


class Ask(_Message):
    """Starts a turn and follows it."""

    type: Literal["ask"]
    question: str
    session_id: str | None = None
    provider: str | None = None
    idempotency_key: str = ""


class Stop(_Message):
    """Stops a turn."""

    type: Literal["stop"]
    turn_id: str


class Resume(_Message):
    """Follows a turn from the event after number `after`."""

    type: Literal["resume"]
    turn_id: str
    after: int = Field(0, ge=0)


_MESSAGE: TypeAdapter[Ask | Stop | Resume] = TypeAdapter(
    Annotated[Ask | Stop | Resume, Field(discriminator="type")]
)


@router.websocket("/chat/ws")
async def chat_socket(socket: WebSocket, services: ServicesDep, caller: CallerDep) -> None:
    """Serves one socket until the client leaves; running turns end after their grace time."""
    # A browser that offers its key as a subprotocol needs one of its offers taken.
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(subprotocol="smartstore" if "smartstore" in offered else None)
    connection = _Connection(socket, services, caller)
    try:
        async with asyncio.TaskGroup() as following:
            try:
                with services.readers.reading(caller.key, idle=True) as reader:
                    while True:
                        await connection.handle(await reader.wait(socket.receive_text()), following)
            except (WebSocketDisconnect, KeyError):
                connection.leave()
            except ApiError as exc:
                # The key is revoked, or this process ends.
                await connection.dismiss(exc)
    except* WebSocketDisconnect:
        pass


class _Connection:
    """What one socket follows."""

    def __init__(self, socket: WebSocket, services: Services, caller: Caller) -> None:
        self._socket, self._services, self._caller = socket, services, caller
        self.followed: set[asyncio.Task[None]] = set()

    async def handle(self, text: str, following: asyncio.TaskGroup) -> None:
        """Carries out one message; a fault is answered. Raises `Unauthorized` where the key is no more."""
        access, key = self._services.access, self._caller.key
        if key is not None and not await access.keys.valid(key):
            raise Unauthorized("이 API 키는 폐기되었습니다.")
        try:
            if len(text.encode()) > self._services.settings.server.max_body_bytes:
                raise InvalidRequest("메시지가 너무 큽니다.")
            match _MESSAGE.validate_json(text):
                case Ask(question=text_, session_id=session, provider=provider, idempotency_key=repeat):
                    await self._admit()
                    question = Question(text_, session, provider, repeat, channel="socket")
                    begun = await ask(self._services, self._caller, question)
                    self._follow(begun.turn_id, 0, following)
                case Resume(turn_id=turn_id, after=after):
                    await self._admit()
                    await self._services.turns.status(turn_id, owner=self._caller.id)
                    self._follow(turn_id, after, following)
                case Stop(turn_id=turn_id):
                    await self._services.turns.status(turn_id, owner=self._caller.id)
                    await self._services.runner.stop(turn_id)
        except ValidationError as exc:
            fault = exc.errors()[0]
            where = ".".join(str(part)[:40] for part in fault["loc"])
            told = InvalidRequest(f"잘못된 메시지입니다: {where} {fault['msg'][:200]}")
            await self._send("", 0, told.event())
        except ApiError as exc:
            await self._send("", 0, exc.event())

    def leave(self) -> None:
        """Nobody is there to send anything to."""
        for task in self.followed:
            task.cancel()

    async def dismiss(self, reason: ApiError) -> None:
        """Says why, and closes; what is followed has been dismissed, too, and ends with its own last word."""
        if self.followed:
            await asyncio.wait(self.followed, timeout=_LAST_EVENTS_S)
            self.leave()
        else:
            await self._send("", 0, reason.event())
        await self._socket.close(_POLICY if isinstance(reason, Unauthorized) else _RESTART)

    async def _admit(self) -> None:
        """Counts one ask or resume like a request. Raises `InvalidRequest` at the bound, `TooMany`."""
        if len(self.followed) >= _MAX_FOLLOWED:
            raise InvalidRequest(f"한 연결에서 동시에 {_MAX_FOLLOWED}개까지 답변을 받을 수 있습니다.")
        await self._services.access.admit(self._caller, "chat")

    def _follow(self, turn_id: str, after: int, following: asyncio.TaskGroup) -> None:
        task = following.create_task(self._relay(turn_id, after), name=turn_id)
        self.followed.add(task)
        task.add_done_callback(self.followed.discard)

    async def _relay(self, turn_id: str, after: int) -> None:
        try:
            async with aclosing(self._services.follow(turn_id, after, key=self._caller.key)) as events:
                async for number, event in events:
                    await self._send(turn_id, number, event)
        except ApiError as exc:
            await self._send(turn_id, 0, exc.event())

    async def _send(self, turn_id: str, number: int, event: TurnEvent | TurnFailed) -> None:
        head = json.dumps({"turn_id": turn_id, "id": number, "event": event.type})
        await self._socket.send_text(f'{head[:-1]}, "data": {event_data(event)}}}')
