"""Opens the door that the settings describe, and checks that it lets the right ones in."""

from __future__ import annotations

from api.access.auth import Access
from api.access.keys import Keys
from api.access.loopback import is_loopback
from api.access.origins import Origins
from api.access.rate_limits import RateLimits, TurnSlots
from api.access.visitors import Visitors
from api.errors import StateUnavailable
from api.settings import Settings, SettingsError
from api.state.connection import State


def open_access(settings: Settings, state: State) -> Access:
    """Who may come in, and how often."""
    return Access(
        Keys(state, admin_secret=settings.auth.admin_key.get_secret_value()),
        RateLimits(state),
        TurnSlots(state, turn_s=settings.turns.timeout_s + settings.turns.abandoned_grace_s),
        required=settings.keys_required,
        visitors=_visitors(settings) if settings.public.enabled else None,
        operators=settings.public.admin or not settings.public.enabled,
    )


def _visitors(settings: Settings) -> Visitors:
    public, server = settings.public, settings.server
    return Visitors(
        Origins(server.origins, own=server.public_url),
        key=public.key.get_secret_value(),
        per_minute=public.per_minute,
        session_per_minute=public.session_per_minute,
        concurrent_turns=public.concurrent_turns,
    )


def check_listening(settings: Settings) -> None:
    """Raises `SettingsError` where everybody would be let in from beyond this machine."""
    host = settings.server.host
    if not is_loopback(host) and not settings.keys_required:
        raise SettingsError(f"auth.required=false is for loopback only, not for server.host={host}")


async def check_keys(settings: Settings, access: Access) -> None:
    """Before any model is loaded: a server that listens beyond loopback needs a key to let anybody in.

    Raises:
        SettingsError: there is none.
    """
    host = settings.server.host
    if is_loopback(host) or settings.public.enabled:
        return
    try:
        key_exists = await access.keys.exist()
    except StateUnavailable:
        # Nobody comes in without a key either way; whether there is one shows when the store is back.
        return
    if not key_exists:
        raise SettingsError(
            f"listening on {host} needs an API key: make one with `smartstore keys create NAME`, "
            "or set SMARTSTORE_AUTH__ADMIN_KEY"
        )
