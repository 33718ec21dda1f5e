"""Visitors without a key: which of them may come in, and the limits of each address.

A visitor has the scope `chat` and nothing else. All visitors own sessions together: whoever knows a
session's id (144 random bits) may go on with it, from whatever address. Knows requests' heads.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope as ASGIScope

from api.access.keys import Key, Scope
from api.access.origins import Origins
from api.errors import Forbidden, Unauthorized

VISITOR = "visitor"
_SCOPES: frozenset[Scope] = frozenset({"chat"})


@dataclass(frozen=True, slots=True)
class Visitors:
    """Lets visitors in.

    Attributes:
        origins: pages they may come from.
        key: what pages of other origins have to send; empty for nothing.
        per_minute: requests of one address.
        session_per_minute: questions in one conversation.
        concurrent_turns: of one address.
    """

    origins: Origins
    key: str
    per_minute: int
    session_per_minute: int
    concurrent_turns: int

    def is_for(self, text: str) -> bool:
        """Whether this `Authorization` is a visitor's: none, or the publishable key."""
        return not text or bool(self.key and hmac.compare_digest(text.encode(), self.key.encode()))

    def admit(self, scope: ASGIScope, headers: Mapping[bytes, bytes], text: str) -> Key:
        """The limits of who sends a request.

        Raises:
            Forbidden: a page of an origin that is not listed.
            Unauthorized: from elsewhere than this server's own page, without the publishable key.
        """
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if origin and not self.origins.allow(origin, host=host):
            raise Forbidden(f"'{origin[:80]}' 페이지에서는 이 서버를 사용할 수 없습니다.")
        # Browsers leave Origin out of a page's own GETs, and tell in this header that they are.
        own = headers.get(b"sec-fetch-site") == b"same-origin" or self.origins.is_own(origin, host=host)
        if self.key and not text and not own:
            raise Unauthorized("이 사이트의 공개 키가 필요합니다.")
        client = scope.get("client")
        name = hashlib.sha256(place_of(client[0] if client else "").encode()).hexdigest()[:16]
        return Key(f"v_{name}", VISITOR, _SCOPES, self.per_minute, self.concurrent_turns)

    def of_session(self, session_id: str) -> Key:
        """The limits of one conversation, whatever addresses it is asked from."""
        return Key(f"vs_{session_id}", VISITOR, _SCOPES, self.session_per_minute)


def is_visitor(key: Key) -> bool:
    """Limits of a visitor; a key that was made for somebody is called `k_…`."""
    return key.id.startswith(("v_", "vs_"))


def place_of(address: str) -> str:
    """What one subscriber has: an IPv4 address, or the /64 that an IPv6 address is in."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
