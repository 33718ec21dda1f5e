"""Who reads streams in this process now, and who must stop: a revoked key, or a process that ends.

A caller is recognised when a request begins, but a stream can last for minutes. Knows keys and
waiting; not what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from api.access.keys import Key, Keys
from api.errors import ApiError, Overloaded, Unauthorized
from api.work.background import background

T = TypeVar("T")
# With the second for which a key stays known, a revoked one is out within two seconds.
_LOOK_S = 0.5
_RETRY_S = 5.0


class Interrupted(ApiError):
    """The process ends; what is asked again is answered by another one, or by the next."""

    code, status, retryable = "interrupted", 503, True
    english = "the process ends"


class Reader:
    """One who waits for the next piece of something, until told to leave.

    `idle` is one whom nobody owes an end: the process need not wait for it.
    """

    def __init__(self, key: Key | None, *, idle: bool = False) -> None:
        self.key, self.idle = key, idle
        self._reason: ApiError | None = None
        self._waiting: asyncio.Timeout | None = None

    def dismiss(self, reason: ApiError) -> None:
        """What this reader waits for, now or next, raises `reason`."""
        self._reason = reason
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def wait(self, piece: Awaitable[T]) -> T:
        """The piece. Raises `Unauthorized` once the key is revoked, `Interrupted` where the process ends."""
        try:
            # Without a time this sets no timer: a wait costs two microseconds more.
            async with asyncio.timeout(None if self._reason is None else 0) as self._waiting:
                return await piece
        except TimeoutError:
            if self._reason is None:
                raise
            raise self._reason from None
        finally:
            self._waiting = None

    async def each(self, pieces: AsyncIterator[T]) -> AsyncGenerator[T]:
        """The pieces. Raises as `wait`."""
        while True:
            try:
                piece = await self.wait(anext(pieces))
            except StopAsyncIteration:
                return
            yield piece


class Readers:
    """Every reader of this process.

    Attributes:
        closing: nothing new is begun any more.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._reading: set[Reader] = set()
        self._left = asyncio.Event()
        self.closing = False

    def check_open(self) -> None:
        """Raises `Overloaded` where this process takes nothing new."""
        if self.closing:
            raise Overloaded(
                "서버를 다시 시작하고 있습니다. 잠시 후 다시 시도해 주세요.", retry_after=_RETRY_S
            )

    @contextmanager
    def reading(self, key: Key | None = None, *, idle: bool = False) -> Iterator[Reader]:
        """A reader, for as long as the context lasts."""
        reader = Reader(key, idle=idle)
        self._reading.add(reader)
        try:
            yield reader
        finally:
            self._reading.discard(reader)
            self._left.set()

    async def gone(self, timeout_s: float, *, idle: bool = False) -> None:
        """Waits until nobody (also nobody `idle`) reads any more, `timeout_s` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(idle or not reader.idle for reader in self._reading):
                    self._left.clear()
                    await self._left.wait()

    def dismiss_all(self) -> None:
        """Everybody who still reads is told that the process ends."""
        reason = Interrupted("서버가 다시 시작되어 연결을 닫습니다. 잠시 후 다시 이어 주세요.")
        for reader in tuple(self._reading):
            reader.dismiss(reason)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Readers]:
        """Dismisses the readers of revoked keys for as long as the context lasts."""
        async with background(self._watch(), name="readers"):
            yield self

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            keys = {reader.key.id: reader.key for reader in self._reading if reader.key is not None}
            for key in keys.values():
                if not await self._keys.valid(key):
                    self._dismiss(key)

    def _dismiss(self, key: Key) -> None:
        for reader in tuple(self._reading):
            if reader.key is not None and reader.key.id == key.id:
                reader.dismiss(Unauthorized("이 API 키는 폐기되었습니다."))
