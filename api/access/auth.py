"""Who is calling, and what they may do.

Where keys are required, every request needs one; elsewhere (a server that listens on loopback
alone) everybody on this machine is the one caller `local`. Knows headers, keys and scopes; not
what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope as ASGIScope

from api.access.keys import PREFIX, SCOPES, Key, Keys, Scope
from api.access.loopback import is_loopback
from api.access.rate_limits import RateLimits, TurnSlots
from api.access.visitors import VISITOR, Visitors
from api.errors import Forbidden, NotFound, Unauthorized

OPERATORS: frozenset[Scope] = frozenset({"admin", "history"})
KEY_SUBPROTOCOL = "smartstore.key."


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of sessions and turns.

    Attributes:
        id: the key's id or `local`; opaque, and safe to log.
        scopes: what the caller may do.
        key: None for who needs none; it has no limits then.
    """

    id: str
    scopes: frozenset[Scope] = frozenset(SCOPES)
    key: Key | None = None

    @property
    def visits(self) -> bool:
        """A visitor without a key: `key` holds the limits of the address."""
        return self.id == VISITOR

    def may(self, scope: Scope) -> None:
        """Raises `Forbidden` where the key lacks `scope`."""
        if scope not in self.scopes:
            message = f"이 API 키에는 '{scope}' 권한이 없습니다."
            raise Forbidden(message, english=f"the key has no scope {scope!r}")


LOCAL = Caller("local")


@dataclass(frozen=True, slots=True)
class Access:
    """Lets callers in, and holds their limits.

    Attributes:
        keys: recognises callers.
        rates: requests a minute.
        slots: turns at the same time.
        required: nobody comes in without a key.
        visitors: lets those in who have none; None where nobody may.
        operators: what only operators ask is answered here.
    """

    keys: Keys
    rates: RateLimits
    slots: TurnSlots
    required: bool
    visitors: Visitors | None = None
    operators: bool = True

    async def identify(self, scope: ASGIScope) -> Caller:
        """The caller that a connection's `Authorization` header names.

        Where no key is required, clients that insist on sending one may send anything that is not
        one of ours; browsers are let in from pages of this machine alone, so that no foreign page
        can ask in its visitor's name.

        Raises:
            Unauthorized: no key, an unknown or a revoked one.
            Forbidden: a foreign page, where no key protects the server.
            StateUnavailable: the key cannot be looked up.
        """
        headers = dict(scope["headers"])
        kind, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        text = text.strip() if kind.lower() == "bearer" else ""
        if not text and scope["type"] == "websocket":
            text = _offered(scope.get("subprotocols", ()))
        if not text.startswith(PREFIX) and not self.required and on_this_machine(scope):
            origin = headers.get(b"origin", b"").decode("latin-1")
            if origin and not _own_page(origin, headers.get(b"host", b"").decode("latin-1")):
                raise Forbidden(f"'{origin[:80]}' 페이지에서는 이 서버를 사용할 수 없습니다.")
            return LOCAL
        if self.visitors is not None and self.visitors.is_for(text):
            key = self.visitors.admit(scope, headers, text)
            return Caller(VISITOR, key.scopes, key)
        if not text:
            raise Unauthorized("API 키가 필요합니다. 'Authorization: Bearer <키>' 헤더로 보내 주세요.")
        known = await self.keys.recognise(text)
        if known is None:
            raise Unauthorized("알 수 없거나 폐기된 API 키입니다.")
        return Caller(known.id, known.scopes, known)

    async def admit(self, caller: Caller, scope: Scope) -> Caller:
        """Lets the caller do one thing of `scope`.

        Raises:
            NotFound: it is the operators', whom this server does not serve.
            Forbidden: the key lacks the scope.
            TooMany: its minute is used up.
        """
        if scope in OPERATORS and not self.operators:
            raise NotFound("찾을 수 없습니다.")
        caller.may(scope)
        if caller.key is not None:
            await self.rates.take(caller.key)
        return caller


async def authorise(connection: HTTPConnection) -> Caller:
    """The caller of a request for the chat: the dependency of every such route."""
    return await _authorised(connection, "chat")


async def authorise_admin(connection: HTTPConnection) -> Caller:
    """The caller of a request that changes what everybody gets: jobs, indexes, adapters."""
    return await _authorised(connection, "admin")


async def authorise_history(connection: HTTPConnection) -> Caller:
    """The caller of a request that reads what others asked: scope `history`, or `admin` that includes it."""
    access: Access = connection.scope["state"]["services"].access
    caller = await caller_of(connection.scope)
    return await access.admit(caller, "admin" if "admin" in caller.scopes else "history")


async def caller_of(scope: ASGIScope) -> Caller:
    """The caller of a request, identified once. Raises as `Access.identify` does."""
    state = scope["state"]
    if "caller" not in state:
        state["caller"] = await state["services"].access.identify(scope)
    caller: Caller = state["caller"]
    return caller


async def _authorised(connection: HTTPConnection, scope: Scope) -> Caller:
    access: Access = connection.state.services.access
    return await access.admit(await caller_of(connection.scope), scope)


def on_this_machine(scope: ASGIScope) -> bool:
    """Both ends of the connection are here, whatever address the settings name.

    uvicorn puts the client that a proxy on this machine tells of into `client`.
    """
    ends = (scope.get("client"), scope.get("server"))
    return all(end is None or end[1] is None or is_loopback(end[0]) for end in ends)


def _own_page(origin: str, host: str) -> bool:
    """A page of this server, by whichever of this machine's names it was opened."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        same_port = (page.port or 80) == (asked.port or 80)
        return page.scheme == "http" and same_port and is_loopback(page.hostname or "")
    except ValueError:
        return False


def _offered(subprotocols: Iterable[str]) -> str:
    """Browsers cannot set headers of a WebSocket, so the key may come as `smartstore.key.<key>`."""
    named = [name for name in subprotocols if name.startswith(KEY_SUBPROTOCOL)]
    return named[0].removeprefix(KEY_SUBPROTOCOL) if named else ""
