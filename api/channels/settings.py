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


class PageSettings(ChannelSection):
    """What the page and the widget show besides answers; empty texts leave their own words."""

    name: str = Field("", max_length=40, description="in the header, e.g. 우리상점 도우미")
    greeting: str = Field("", max_length=300)
    examples: tuple[str, ...] = Field(
        (
            "미성년자도 판매자가 될 수 있나요?",
            "대표 이미지는 몇 픽셀로 만들면 되나요?",
            "구매확정이 되면 정산은 언제 되나요?",
            "반품 요청이 오면 무엇부터 하나요?",
        ),
        max_length=8,
    )
    color: str = Field("", pattern=r"^(#[0-9a-fA-F]{6})?$", description="the accent, e.g. #0a7648")
    contact_url: str = Field(
        "", pattern=r"^((https?|mailto|tel):\S+)?$", description="where a person answers what the FAQ cannot"
    )
    providers: bool = Field(False, description="show who answers, and let the choice be made")
