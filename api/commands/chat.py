"""`smartstore chat`: a conversation in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer


def chat(
    question: Annotated[
        str | None, typer.Argument(help="ask this one question and exit; without it, converse")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="who answers, by name")] = None,
    session: Annotated[str | None, typer.Option(help="continue this session")] = None,
    url: Annotated[str, typer.Option(help="a running server; by default the settings' one if it runs")] = "",
    key: Annotated[str, typer.Option(help="API key of that server")] = "",
) -> None:
    """Chat in the terminal: streams answers, shows sources and numbered follow-ups.

    Type a follow-up's number to ask it, /up or /down (with a comment) to rate the answer,
    /provider NAME to switch, /new for a new conversation,
    /quit to leave. Ctrl+C stops an answer.
    """
    import asyncio

    from rich.console import Console

    from api.client.chat_clients import open_chat
    from api.client.terminal import Terminal
    from api.observability.logs import configure_logs
    from api.settings import LogSettings, load_settings

    configure_logs(LogSettings(level="error", format="console"))

    async def converse() -> None:
        async with open_chat(load_settings(), url=url, key=key) as client:
            terminal = Terminal(client, Console(highlight=False), provider=provider, session_id=session)
            if question is None:
                await terminal.converse()
            elif not await terminal.ask(question):
                raise typer.Exit(1)

    asyncio.run(converse())
