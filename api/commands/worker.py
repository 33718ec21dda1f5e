"""`smartstore worker` and `smartstore turns`: the queue's consumer and its dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

turns = typer.Typer(help="Look after queued turns.", no_args_is_help=True)
dead = typer.Typer(help="Turns that were delivered too often or broke a worker.", no_args_is_help=True)
turns.add_typer(dead, name="dead")


def worker(
    concurrency: Annotated[int | None, typer.Option(min=1, help="turns at the same time")] = None,
) -> None:
    """Take queued turns and answer them until interrupted; SIGTERM lets running turns finish."""
    import asyncio
    import signal

    from api.observability.logs import configure_logs
    from api.providers.factory import warn_of_missing_key
    from api.services import open_worker
    from api.settings import load_settings

    settings = load_settings()
    if concurrency:
        queue = settings.queue.model_copy(update={"concurrency": concurrency})
        settings = settings.model_copy(update={"queue": queue})
    configure_logs(settings.log)
    warn_of_missing_key(settings)

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with open_worker(settings):
            typer.echo(f"worker is ready: {settings.queue.prefix}.turns")
            await stopping.wait()

    asyncio.run(run())


@dead.command("list")
def dead_list() -> None:
    """Print the ids of dead turns, oldest first."""
    _dead(retry=False)


@dead.command("retry")
def dead_retry() -> None:
    """Put every dead turn back into the queue."""
    _dead(retry=True)


def _dead(*, retry: bool) -> None:
    import asyncio

    from api.settings import load_settings
    from api.state.broker import open_broker

    queue = load_settings().queue

    async def run() -> list[str]:
        url = queue.url.get_secret_value()
        limits = {"max_length": queue.max_length, "max_deliveries": queue.max_deliveries}
        async with open_broker(url, prefix=queue.prefix, **limits) as broker:
            return await broker.dead_letters("turns", retry=retry)

    ids = asyncio.run(run())
    for turn_id in ids:
        typer.echo(turn_id)
    typer.echo(f"{len(ids)} dead turns{' put back' if retry and ids else ''}")
