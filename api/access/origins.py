"""Which pages may use this server: the list of origins that the operator keeps.

One list for CORS, WebSockets, event streams and frames. Knows names; not keys, nor what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit


def check_origin(text: str) -> str:
    """An origin as browsers write it. Raises `ValueError` for anything else (`*` and paths included)."""
    parts = urlsplit(text)
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or plain != text:
        raise ValueError(f"{text!r} is no origin; write it as https://shop.example, without a path")
    return text.lower()


class Origins:
    """The listed origins, and this server's own.

    Args:
        listed: pages elsewhere that may use it.
        own: the URL by which clients reach it; empty where each request's `Host` tells.
    """

    def __init__(self, listed: Iterable[str] = (), *, own: str = "") -> None:
        self.listed = frozenset(listed)
        self._own = urlsplit(own).netloc.lower()

    def allow(self, origin: str, *, host: str) -> bool:
        """True for a listed page and for one of this server."""
        return origin.lower() in self.listed or self.is_own(origin, host=host)

    def is_own(self, origin: str, *, host: str) -> bool:
        """True for a page of this server; `host` is what the request calls it."""
        try:
            netloc = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return bool(netloc) and netloc in (host.lower(), self._own)
