"""`smartstore keys`: make, list and revoke API keys. Works while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from api.access.keys import Keys

app = typer.Typer(help="API keys: who may use this server, and how much.", no_args_is_help=True)
T = TypeVar("T")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="what you call it, e.g. the application that uses it")],
    scopes: Annotated[str, typer.Option(help="comma-separated: chat, raw, history, admin")] = "chat",
    per_minute: Annotated[int, typer.Option(min=0, help="requests a minute; 0 is no limit")] = 0,
    concurrent_turns: Annotated[int, typer.Option(min=0, help="turns at the same time; 0 is no limit")] = 0,
) -> None:
    """Make a key and print it: this is the only time that it can be read."""
    from api.access.keys import parse_scopes

    chosen = parse_scopes(scopes)
    key, text = _with_keys(
        lambda keys: keys.create(name, chosen, per_minute=per_minute, concurrent_turns=concurrent_turns)
    )
    typer.echo(
        f"made {key.id} ({name}: {', '.join(sorted(key.scopes))}); keep it, it is shown once", err=True
    )
    typer.echo(text)


@app.command("list")
def list_() -> None:
    """List the keys, oldest first; never their secrets."""
    from rich.console import Console
    from rich.table import Table

    found = _with_keys(lambda keys: keys.list())
    table = Table("id", "name", "scopes", "per minute", "concurrent turns", "made", box=None)
    for key in found:
        limits = (str(value or "-") for value in (key.per_minute, key.concurrent_turns))
        made = key.created_at.isoformat(timespec="seconds")
        table.add_row(key.id, key.name, ",".join(sorted(key.scopes)), *limits, made)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="the id, as `keys list` shows it")]) -> None:
    """Revoke a key; running servers refuse it within two seconds."""
    key = _with_keys(lambda keys: keys.revoke(key_id))
    typer.echo(f"revoked {key.id} ({key.name})")


def _with_keys(action: Callable[[Keys], Awaitable[T]]) -> T:
    """Carries out `action` on the keys of the settings' state store."""
    from api.access.keys import Keys
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings
    from api.state.opening import open_settings_state

    settings = load_settings()
    configure_logs(LogSettings(level="error", format="console"))

    async def run() -> T:
        async with open_settings_state(settings) as state:
            return await action(Keys(state))

    return asyncio.run(run())
