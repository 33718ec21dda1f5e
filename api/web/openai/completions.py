"""Events of a turn as an OpenAI chat completion, whole or in chunks.

Follows `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse` of the published
API description. Sources, suggestions and verdict come in the extra field `smartstore`, which SDKs
ignore. Knows no HTTP and no runner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from api.errors import ApiError
from api.events import (
    Delta,
    ProviderSwitched,
    Sources,
    Suggestions,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    Usage,
)
from api.web.openai.dialogue import follow_up_lines
from retrieval.characters import one_line

DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Completion:
    """One completion as its turn goes on.

    Attributes:
        turn_id: the turn.
        model: as the caller named it.
        created: seconds since 1970.
        follow_ups: end the text with them.
        text: so far.
        final: the last event, once it is here.
    """

    turn_id: str
    model: str
    created: int
    follow_ups: bool = True
    text: str = ""
    final: TurnCompleted | TurnFailed | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def add(self, event: TurnEvent) -> str:
        """Takes in the next event and returns the text that it adds; a switch starts the text again."""
        shown = ""
        match event:
            case Delta(text=shown):
                pass
            case ProviderSwitched():
                self.text = ""
            case Sources(sources=sources):
                self.extra["sources"] = [source.model_dump(mode="json") for source in sources]
            case Suggestions(suggestions=suggestions):
                self.extra["suggestions"] = [each.model_dump(mode="json") for each in suggestions]
                shown = follow_up_lines(suggestions) if self.follow_ups else ""
            case TurnCompleted() | TurnFailed():
                self.final = event
            case _:
                pass
        self.text += shown
        return shown

    def whole(self) -> dict[str, Any]:
        """The complete answer."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.text,
            "refusal": None,
            "annotations": [],
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        return {
            **self._frame("chat.completion"),
            "choices": [choice],
            "usage": self._usage(),
            "smartstore": self._smartstore(),
        }

    def chunk(self, delta: dict[str, str], **fields: Any) -> bytes:
        """The next piece of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return _event({**self._frame("chat.completion.chunk"), "choices": [choice], **fields})

    def last_chunk(self, **fields: Any) -> bytes:
        """The piece that ends the text."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": self._finish_reason}
        frame = self._frame("chat.completion.chunk")
        return _event({**frame, "choices": [choice], "smartstore": self._smartstore(), **fields})

    def usage_chunk(self) -> bytes:
        """What a stream with `include_usage` ends with."""
        return _event({**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage()})

    @property
    def _finish_reason(self) -> str:
        return self.final.finish_reason if isinstance(self.final, TurnCompleted) else "stop"

    def _frame(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.turn_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _usage(self) -> dict[str, int]:
        usage = self.final.usage if isinstance(self.final, TurnCompleted) else Usage()
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }

    def _smartstore(self) -> dict[str, Any]:
        told = {"turn_id": self.turn_id, "sources": [], "suggestions": [], **self.extra}
        if isinstance(self.final, TurnCompleted):
            told |= {"verdict": self.final.verdict, "provider": self.final.provider}
        return told


def status_of(code: str) -> int:
    """The HTTP status of a turn that failed with `code`."""
    kinds: list[type[ApiError]] = [ApiError]
    for kind in kinds:
        if kind.code == code:
            return kind.status
        kinds.extend(kind.__subclasses__())
    return 503 if code == "interrupted" else 500


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + one_line(json.dumps(body, ensure_ascii=False)).encode() + b"\n\n"
