"""Requests of OpenAI's API as far as `faq` models and embeddings use them.

What a grounded answer cannot do is refused by name; fields that are not named here change nothing
of the answer and are ignored, as OpenAI adds some every month. Follows
`CreateChatCompletionRequest` and `CreateEmbeddingRequest` of the published API description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.errors import InvalidRequest
from api.providers.base import GenerationOptions
from api.text import RequestBody

TokenIds = list[int]


class RequestFields(RequestBody):
    """A body whose unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Unsupported(InvalidRequest):
    """A field asks for what a grounded answer cannot do."""

    code = "unsupported_parameter"
    english = "unsupported parameter"

    def __init__(self, param: str, message: str) -> None:
        self.param = param
        super().__init__(f"{param}: {message}", english=f"{self.english} {param}")


def refuse_tools(tools: Sequence[Any] | None, choice: Any) -> None:
    """Raises `Unsupported` where a tool could be called."""
    if tools and choice != "none":
        raise Unsupported(
            "tools", "faq 모델은 도구를 부르지 않습니다. 도구가 필요하면 '<provider>/<모델>'을 쓰세요."
        )
    if choice not in (None, "none", "auto"):
        raise Unsupported("tool_choice", "faq 모델은 도구를 부르지 않습니다.")


class Part(RequestFields):
    """A part of a message; only text can be answered."""

    type: str
    text: str = ""
    refusal: str = ""


class Message(RequestFields):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    def text(self) -> str:
        """The text of all parts. Raises `Unsupported` for a picture, a sound or a file."""
        if not isinstance(self.content, list):
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "refusal"):
                raise Unsupported(
                    "messages", f"글만 읽을 수 있습니다. '{part.type[:40]}'은(는) 지원하지 않습니다."
                )
        return "\n".join(part.text or part.refusal for part in self.content)


class StreamOptions(RequestFields):
    """What a stream tells besides its text."""

    include_usage: bool | None = None


class Extra(RequestFields):
    """What this server knows and OpenAI does not."""

    follow_ups: bool | None = Field(None, description="end the answer with follow-ups as lines of text")


class CompletionUpdate(RequestFields):
    """What a completion is to be told of: a rating in its metadata."""

    metadata: dict[str, str] = Field(examples=[{"smartstore_rating": "up"}])


class ChatCompletionRequest(RequestFields):
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
    store: bool | None = None
    metadata: dict[str, str] | None = Field(None, description="`smartstore_rating` rates an earlier answer")
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    logprobs: bool | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    smartstore: Extra = Extra()

    def check(self) -> None:
        """Raises `Unsupported` for what would have to be taken and ignored."""
        refuse_tools(self.tools or self.functions, self.tool_choice or self.function_call)
        if self.response_format is not None and self.response_format.get("type") != "text":
            raise Unsupported("response_format", "JSON 형식의 답변은 지원하지 않습니다.")
        if self.modalities not in (None, ["text"]):
            raise Unsupported("modalities", "글로만 답합니다.")
        for name in ("audio", "prediction", "web_search_options", "logprobs", "logit_bias", "store"):
            if getattr(self, name):
                raise Unsupported(name, "faq 모델은 지원하지 않습니다.")
        for name in ("presence_penalty", "frequency_penalty"):
            if getattr(self, name):
                raise Unsupported(name, "faq 모델은 0만 받습니다.")

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


class EmbeddingRequest(RequestFields):
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
