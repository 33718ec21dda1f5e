"""The state store that the settings name."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from api.settings import Settings
from api.state.connection import State, open_state


def open_settings_state(settings: Settings) -> AbstractAsyncContextManager[State]:
    """Opens it; see `open_state`."""
    url, data_dir = settings.state.url.get_secret_value(), settings.path(settings.data_dir)
    return open_state(url, data_dir=data_dir / "state", prefix=settings.state.prefix)
