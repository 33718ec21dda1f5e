"""Settings of the channels; part of the one tree of `api.settings`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ChannelSection(BaseModel):
    """A part of the tree: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelSettings(ChannelSection):
    """Ways in besides the API."""

    mcp: bool = Field(True, description="an MCP server at /mcp, where the extra `mcp` is installed")
