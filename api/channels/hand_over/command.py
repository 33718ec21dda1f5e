"""`smartstore hand-over dead`: hand-overs that the webhook never took."""

from __future__ import annotations

import typer

app = typer.Typer(help="Look after hand-overs to a person.", no_args_is_help=True)
dead = typer.Typer(help="Hand-overs that were given up.", no_args_is_help=True)
app.add_typer(dead, name="dead")


@dead.command("list")
def dead_list() -> None:
    """Print id and last error of each, oldest first."""
    _dead(retry=False)


@dead.command("retry")
def dead_retry() -> None:
    """Queue every one again; a running server sends them."""
    _dead(retry=True)


def _dead(*, retry: bool) -> None:
    import asyncio

    from api.channels.hand_over.deliveries import Deliveries
    from api.settings import load_settings
    from api.state.opening import open_settings_state

    settings = load_settings()

    async def run() -> list[tuple[str, str]]:
        async with open_settings_state(settings) as state:
            deliveries = Deliveries(state)
            found = await deliveries.dead()
            if retry:
                await deliveries.revive()
            return found

    found = asyncio.run(run())
    for id, error in found:
        typer.echo(f"{id}  {error}")
    typer.echo(f"{len(found)} dead hand-overs{' queued again' if retry and found else ''}")
