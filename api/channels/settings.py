"""Settings of the channels; part of the one tree of `api.settings`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from api.channels.hand_over.signing import secret_bytes


class ChannelSection(BaseModel):
    """A part of the tree: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MessengerSettings(ChannelSection):
    """What every messenger's webhook has."""

    secret: SecretStr = Field(
        SecretStr(""), description="the end of the webhook's path, 16 characters or more; empty: off"
    )
    networks: tuple[str, ...] = Field((), description="where the platform's requests come from; empty: any")
    reply_s: float = Field(4.0, gt=0, lt=5, description="later answers go by push or callback")
    per_minute: int = Field(20, ge=1, description="messages of one user")

    @field_validator("secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", text):
            raise ValueError("needs 16 letters and digits or more; make one with `openssl rand -hex 16`")
        return value

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ipaddress.ip_network(each)
        return value


class TalkTalkSettings(MessengerSettings):
    """Naver TalkTalk: webhook at /channels/talktalk/<secret>."""

    authorization: SecretStr = Field(SecretStr(""), description="the key of the TalkTalk partner centre")
    endpoint: str = "https://gw.talk.naver.com/chatbot/v1/event"
    greeting: str = Field("", max_length=1000)
    hand_over_to: int | None = Field(None, description="targetId of passThread; none: no hand-over")


class KakaoSettings(MessengerSettings):
    """KakaoTalk: a skill at /channels/kakao/<secret>."""

    callback_hosts: tuple[str, ...] = ("bot-api.kakao.com",)


class ChannelSettings(ChannelSection):
    """Ways in besides the API."""

    talktalk: TalkTalkSettings = TalkTalkSettings()
    kakao: KakaoSettings = KakaoSettings()
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


class HandOverSettings(ChannelSection):
    """A webhook that takes conversations for a person; without a `url` there is none."""

    url: str = Field("", pattern=r"^(https?://\S+)?$", description="gets the masked conversation, signed")
    secret: SecretStr = Field(
        SecretStr(""), description="whsec_ and 24 to 64 bytes in base64, as Standard Webhooks say"
    )
    timeout_s: float = Field(10.0, gt=0)
    retry_s: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (5, 30, 120, 600, 3600, 10_800, 28_800),
        description="waits before further attempts; after the last one it is a dead letter",
    )

    @model_validator(mode="after")
    def _is_signed(self) -> HandOverSettings:
        if self.url:
            secret_bytes(self.secret.get_secret_value())
        return self


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
    contact_text: str = Field(
        "", max_length=300, description="offered where the FAQ has no answer, e.g. 평일 9~18시 1588-0000"
    )
    contact_always: bool = Field(False, description="offered below every answer")
    providers: bool = Field(False, description="show who answers, and let the choice be made")
