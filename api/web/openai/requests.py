"""Requests of OpenAI's API as far as `faq` models and embeddings use them.

Fields that are not named here are accepted and ignored, as OpenAI adds some every month. Follows
`CreateChatCompletionRequest` and `CreateEmbeddingRequest` of the published API description.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.errors import InvalidRequest
from api.providers.base import GenerationOptions
from api.text import RequestBody

TokenIds = list[int]


class _Request(RequestBody):
    model_config = ConfigDict(strict=True, extra="ignore")


class Part(_Request):
    """A part of a message; only text can be answered."""

    type: str
    text: str = ""


class Message(_Request):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(_Request):
    """What a stream tells besides its text."""

    include_usage: bool | None = None


class Extra(_Request):
    """What this server knows and OpenAI does not."""

    follow_ups: bool | None = Field(None, description="end the answer with follow-ups as lines of text")


class ChatCompletionRequest(_Request):
    """A conversation to continue; the last user message is the question."""

    model: str = Field(examples=["faq"])
    messages: list[Message] = Field(
        min_length=1, examples=[[{"role": "user", "content": "정산은 언제 되나요?"}]]
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=1, description="one answer")
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: int | None = None
    user: str | None = None
    smartstore: Extra = Extra()

    def options(self) -> GenerationOptions:
        """The sampling options."""
        return GenerationOptions(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            seed=self.seed,
            user=self.user,
        )


class EmbeddingRequest(_Request):
    """Texts to embed."""

    model: str
    input: str | list[str] | TokenIds | list[TokenIds]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None
    input_type: Literal["query", "passage"] = Field("query", description="what the texts are")

    def texts(self, most: int) -> list[str]:
        """The texts. Raises `InvalidRequest` for token ids, blanks, none, or more than `most`."""
        given = [self.input] if isinstance(self.input, str) else self.input
        texts = [text for text in given if isinstance(text, str)]
        if len(texts) < len(given):
            raise InvalidRequest("input: 토큰 id 대신 글을 보내 주세요.")
        if not 0 < len(texts) <= most:
            raise InvalidRequest(f"input: 1개부터 {most}개까지 보낼 수 있습니다.")
        if not all(text.strip() for text in texts):
            raise InvalidRequest("input: 빈 글은 임베딩할 수 없습니다.")
        return texts
