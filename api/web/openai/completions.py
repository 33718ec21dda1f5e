"""Events of a turn as an OpenAI chat completion, whole or in chunks.

Follows `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse` of the published
API description. Sources, suggestions and verdict come in the extra field `smartstore`, which SDKs
ignore. Knows no HTTP and no runner.
"""

from __future__ import annotations

import json
from typing import Any

from api.web.openai.reply import Reply
from retrieval.characters import one_line

DONE = b"data: [DONE]\n\n"


class Completion(Reply):
    """One completion as its turn goes on."""

    def whole(self) -> dict[str, Any]:
        """The complete answer."""
        self.cite()
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.text,
            "refusal": None,
            "annotations": [_nested(each) for each in self.annotations],
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {
            **self._frame("chat.completion"),
            "choices": [choice],
            "usage": self._usage(),
            "smartstore": self.smartstore(),
        }

    def chunk(self, delta: dict[str, Any], **fields: Any) -> bytes:
        """The next piece of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return _event({**self._frame("chat.completion.chunk"), "choices": [choice], **fields})

    def text_chunk(self, text: str, **fields: Any) -> bytes:
        """The next piece of the text, with the citations that it completes."""
        cited = [_nested(each) for each in self.cite()]
        return self.chunk({"content": text} | ({"annotations": cited} if cited else {}), **fields)

    def last_chunk(self, **fields: Any) -> bytes:
        """The piece that ends the text."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": self.finish_reason}
        frame = self._frame("chat.completion.chunk")
        return _event({**frame, "choices": [choice], "smartstore": self.smartstore(), **fields})

    def usage_chunk(self) -> bytes:
        """What a stream with `include_usage` ends with."""
        return _event({**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage()})

    def _frame(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.turn_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _usage(self) -> dict[str, int]:
        usage = self.usage
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }


def _nested(citation: dict[str, Any]) -> dict[str, Any]:
    """A citation as chat completions write it: its fields below its type."""
    fields = {key: value for key, value in citation.items() if key != "type"}
    return {"type": citation["type"], citation["type"]: fields}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + one_line(json.dumps(body, ensure_ascii=False)).encode() + b"\n\n"
