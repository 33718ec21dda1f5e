"""A provider's chat completion as a response of the Responses API, whole or as typed events.

Text becomes a message, each tool call a `function_call` item, in the order in which they begin.
Knows both formats; no HTTP and no provider.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from api.web.openai.responses.answer import INCOMPLETE, text_part, typed_event, usage_of

_ECHOED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True,
    "temperature": None, "tool_choice": "auto", "tools": [], "top_p": None, "truncation": "disabled",
}  # fmt: skip


class TranslatedResponse:
    """One response while its chat completion arrives.

    Args:
        fields: the request, of which the response repeats some.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._id, self._created = secrets.token_hex(16), int(time.time())
        echo = {name: fields.get(name) for name in _ECHOED if fields.get(name) is not None}
        self._echo: dict[str, Any] = _ECHOED | echo
        self._model = str(fields.get("model", ""))
        self._text = {"format": (fields.get("text") or {}).get("format") or {"type": "text"}}
        self._items: list[dict[str, Any]] = []
        self._open: dict[int | str, int] = {}
        self._finish: str | None = None
        self._usage: dict[str, Any] | None = None
        self._number = 0

    def whole(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        """The response of a whole completion."""
        choice = (completion.get("choices") or [{}])[0]
        message = choice.get("message") or {}
        calls = [{"index": n, **call} for n, call in enumerate(message.get("tool_calls") or ())]
        delta = {"content": message.get("content"), "tool_calls": calls}
        chunk = {"choices": [{**choice, "delta": delta}], "usage": completion.get("usage")}
        for _ in self.take(chunk):
            pass
        for _ in self._closing():
            pass
        return self._response(self._status())

    def opening(self) -> Iterator[bytes]:
        """The events before anything is said."""
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))

    def take(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        """The events that one chunk becomes."""
        if usage := chunk.get("usage"):
            self._usage = usage_of(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            delta = choice.get("delta") or {}
            if text := delta.get("content"):
                yield from self._say(str(text))
            for call in delta.get("tool_calls") or ():
                yield from self._call(call)
            self._finish = choice.get("finish_reason") or self._finish

    def end(self) -> Iterator[bytes]:
        """The last events: a completion that never said why it ended has failed."""
        if self._finish is None:
            yield self.fault("upstream_cut", "답변이 중간에 끊겼습니다.")
            return
        yield from self._closing()
        status = self._status()
        yield self._event(f"response.{status}", response=self._response(status))

    def fault(self, code: str, message: str) -> bytes:
        """The event of a stream that cannot go on."""
        return self._event("error", code=code, message=message, param=None)

    def _say(self, text: str) -> Iterator[bytes]:
        at = self._open.get("text")
        if at is None:
            at = self._begin("text", {"id": self._item_id("msg"), "type": "message", "role": "assistant"})
            item = self._items[at] | {"content": []}
            self._items[at]["content"] = [text_part("", [])]
            yield self._event("response.output_item.added", output_index=at, item=item)
            yield self._part("response.content_part.added", at, part=text_part("", []))
        self._items[at]["content"][0]["text"] += text
        yield self._part("response.output_text.delta", at, delta=text, logprobs=[])

    def _call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        index, function = int(call.get("index") or 0), call.get("function") or {}
        at = self._open.get(index)
        if at is None:
            head = {"id": self._item_id("fc"), "type": "function_call", "call_id": call.get("id"),
                    "name": function.get("name"), "arguments": ""}  # fmt: skip
            at = self._begin(index, head)
            yield self._event("response.output_item.added", output_index=at, item=dict(self._items[at]))
        if arguments := function.get("arguments"):
            self._items[at]["arguments"] += arguments
            kind = "response.function_call_arguments.delta"
            yield self._event(kind, item_id=self._items[at]["id"], output_index=at, delta=arguments)

    def _closing(self) -> Iterator[bytes]:
        whole = self._status() == "completed"
        for at, item in enumerate(self._items):
            item["status"] = "completed" if whole else "incomplete"
            if item["type"] == "message":
                part = item["content"][0]
                yield self._part("response.output_text.done", at, text=part["text"], logprobs=[])
                yield self._part("response.content_part.done", at, part=part)
            else:
                fields = {"item_id": item["id"], "name": item["name"], "arguments": item["arguments"]}
                yield self._event("response.function_call_arguments.done", output_index=at, **fields)
            yield self._event("response.output_item.done", output_index=at, item=item)

    def _begin(self, key: int | str, head: dict[str, Any]) -> int:
        self._items.append(head | {"status": "in_progress"})
        self._open[key] = len(self._items) - 1
        return len(self._items) - 1

    def _item_id(self, kind: str) -> str:
        return f"{kind}_{self._id}_{len(self._items)}"

    def _status(self) -> str:
        return "incomplete" if self._finish in INCOMPLETE else "completed"

    def _response(self, status: str) -> dict[str, Any]:
        incomplete = {"reason": INCOMPLETE[self._finish or ""]} if status == "incomplete" else None
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": incomplete,
            "model": self._model,
            "output": [] if status == "in_progress" else list(self._items),
            "previous_response_id": None,
            "store": False,
            "text": self._text,
            **self._echo,
            **({"usage": self._usage} if self._usage else {}),
        }

    def _part(self, kind: str, at: int, **fields: Any) -> bytes:
        return self._event(kind, item_id=self._items[at]["id"], output_index=at, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = typed_event(kind, self._number, fields)
        self._number += 1
        return event


def read_json(data: bytes) -> dict[str, Any]:
    """An object out of a provider's answer; raises `ValueError` for anything else."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
