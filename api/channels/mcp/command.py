"""`smartstore mcp`: the FAQ as an MCP server on stdin and stdout, for editors and agents."""

from __future__ import annotations

import asyncio
import sys


def mcp() -> None:
    """Serve the FAQ over MCP on stdin and stdout (an editor starts this command itself)."""
    from importlib.util import find_spec

    from api.settings import SettingsError

    if find_spec("mcp") is None:
        raise SettingsError("smartstore mcp needs the MCP SDK: pip install 'smartstore-chatbot[mcp]'")
    asyncio.run(_serve())


async def _serve() -> None:
    from api.access.auth import LOCAL
    from api.channels.mcp.server import faq_server
    from api.observability.logs import configure_logs
    from api.services import open_services
    from api.settings import load_settings

    settings = load_settings()
    configure_logs(settings.log)
    async with open_services(settings) as services:
        print("smartstore mcp is ready", file=sys.stderr, flush=True)
        await faq_server(services, lambda _context: LOCAL).run_stdio_async()
