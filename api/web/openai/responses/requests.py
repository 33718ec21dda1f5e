"""A request of the Responses API as far as `faq` models answer it.

What a grounded answer cannot do (tools, pictures, JSON) is refused by name; fields that are not
named here change nothing of the answer and are ignored, as OpenAI adds some every month. Follows
`CreateResponse` of the published API description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from api.errors import InvalidRequest
from api.providers.base import GenerationOptions
from api.web.openai.requests import Extra, Message, RequestFields, Unsupported, refuse_tools

_ROLES = ("user", "assistant", "system", "developer")
_MOST_METADATA = 16


class ResponseRequest(RequestFields):
    """A question, with the conversation before it in `input` or behind `previous_response_id`."""

    model: str = Field(examples=["faq"])
    input: str | list[dict[str, Any]] = Field(examples=["정산은 언제 되나요?"])
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    truncation: str | None = None
    smartstore: Extra = Extra()

    def check(self) -> None:
        """Raises `InvalidRequest` for what cannot be done, or where two fields contradict each other."""
        refuse_tools(self.tools, self.tool_choice)
        form = (self.text or {}).get("format")
        if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
            raise Unsupported("text.format", "JSON 형식의 답변은 지원하지 않습니다. 'text'만 쓸 수 있습니다.")
        if self.top_logprobs:
            raise Unsupported("top_logprobs", "토큰 확률은 지원하지 않습니다.")
        if self.prompt is not None:
            raise Unsupported("prompt", "저장된 프롬프트는 지원하지 않습니다.")
        if self.conversation is not None:
            raise Unsupported(
                "conversation", "대화 객체는 지원하지 않습니다. previous_response_id로 이어 주세요."
            )
        if self.background and self.store is False:
            raise InvalidRequest("background: 저장하지 않는(store: false) 응답은 뒤에서 만들 수 없습니다.")
        pairs = self.metadata or {}
        if len(pairs) > _MOST_METADATA or any(len(k) > 64 or len(v) > 512 for k, v in pairs.items()):
            raise InvalidRequest("metadata: 16쌍까지, 이름은 64자까지, 값은 512자까지 쓸 수 있습니다.")

    def messages(self, answers: Mapping[str, str]) -> list[Message]:
        """The input as messages; `answers` holds the text of items that are only referred to."""
        if isinstance(self.input, str):
            return [Message(role="user", content=self.input)]
        return [message for item in self.input if (message := _message(item, answers)) is not None]

    def references(self) -> list[str]:
        """Ids of items that the input refers to."""
        items = self.input if isinstance(self.input, list) else []
        return [str(item.get("id", "")) for item in items if _is_reference(item)]

    def options(self) -> GenerationOptions:
        """The sampling options."""
        return GenerationOptions(
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            user=self.safety_identifier or self.user,
        )

    def echo(self) -> dict[str, Any]:
        """What the response repeats of its request."""
        who = {"user": self.user} if self.user is not None else {}
        return who | {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "previous_response_id": self.previous_response_id,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "truncation": "disabled",
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "tool_choice": "auto" if self.tool_choice is None else self.tool_choice,
            "tools": [],
            "text": {"format": {"type": "text"}},
            "background": bool(self.background),
            "store": self.store is not False,
            "safety_identifier": self.safety_identifier,
        }


def _is_reference(item: dict[str, Any]) -> bool:
    return item.get("type") == "item_reference" or ("role" not in item and not item.get("type"))


def _message(item: dict[str, Any], answers: Mapping[str, str]) -> Message | None:
    """One item as a message; None for one that says nothing to the FAQ (another model's reasoning)."""
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    match kind:
        case "message":
            role, content = item.get("role"), item.get("content")
            if role not in _ROLES:
                raise InvalidRequest(f"input: 알 수 없는 role '{str(role)[:40]}'입니다.")
            return Message(role=role, content=_text(content))
        case "item_reference":
            text = answers.get(str(item.get("id", "")))
            return Message(role="assistant", content=text) if text is not None else None
        case "reasoning":
            return None
        case "function_call" | "function_call_output":
            raise Unsupported("input", "도구 호출은 지원하지 않습니다.")
        case _:
            raise Unsupported("input", f"'{str(kind)[:40]}' 항목은 지원하지 않습니다.")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest("input: content는 글이거나 글의 목록이어야 합니다.")
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "refusal" and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
        else:
            raise Unsupported("input", f"글만 읽을 수 있습니다. '{str(kind)[:40]}'은(는) 지원하지 않습니다.")
    return "\n".join(texts)
