"""Settings of the channels; part of the one tree of `api.settings`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ChannelSection(BaseModel):
    """A part of the tree: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelSettings(ChannelSection):
    """Ways in besides the API."""

    mcp: bool = Field(True, description="an MCP server at /mcp, where the extra `mcp` is installed")


class PublicSettings(ChannelSection):
    """Visitors without a key: page and widget for everybody, beyond this machine too."""

    enabled: bool = False
    key: SecretStr = Field(
        SecretStr(""), description="publishable: pages of other origins have to send it; empty: nothing"
    )
    per_minute: int = Field(30, ge=1, description="requests of one address (IPv6: of one /64)")
    session_per_minute: int = Field(10, ge=1, description="questions in one conversation")
    concurrent_turns: int = Field(4, ge=1, description="answers that one address gets at the same time")
    daily_answers: int = Field(
        1000, ge=0, description="of each LLM a day, for all visitors; then the FAQ's own sentences answer"
    )
    choose_provider: bool = Field(False, description="visitors see the providers' names and may choose")
    admin: bool = Field(False, description="answer on this port what only operators ask (jobs, history)")
