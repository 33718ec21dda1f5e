"""Events of a turn as a response of the Responses API, whole or as typed events.

Follows `Response` and `ResponseStreamEvent` of the published API description, and the order of
events it gives. Verdict and follow-ups are in `metadata` (strings, as OpenAI has it) and, whole,
in the extra field `smartstore`. Knows no HTTP and no runner.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.events import ProviderSwitched, TurnCompleted, TurnEvent, TurnFailed
from api.web.openai.reply import Reply
from retrieval.characters import one_line

_MOST_METADATA, _LONGEST_VALUE = 16, 512
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_SWITCHED = TurnFailed(
    code="provider_switched", message="답변이 중간에 끊겼습니다. 다시 시도해 주세요.", retryable=True
)


def response_id(turn_id: str) -> str:
    """The id of a turn's response."""
    return "resp_" + turn_id.removeprefix("t_")


@dataclass(slots=True)
class ResponseReply(Reply):
    """One response as its turn goes on.

    Attributes:
        session_id: the conversation, empty where nothing is stored.
        echo: what it repeats of its request.
        metadata: as the caller gave it.
        number: of the next event.
        completed: when it ended, where that is known; seconds since 1970.
    """

    session_id: str = ""
    echo: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    completed: int = 0

    def whole(self) -> dict[str, Any]:
        """The response as it stands."""
        self.cite()
        status = self._status()
        failed = isinstance(self.final, TurnFailed)
        usage = self.usage
        incomplete = {"reason": INCOMPLETE[self.finish_reason]} if status == "incomplete" else None
        error = None
        if isinstance(self.final, TurnFailed):
            error = {"code": "server_error", "message": self.final.message}
        return {
            "id": response_id(self.turn_id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "completed_at": (self.completed or int(time.time())) if status == "completed" else None,
            "error": error,
            "incomplete_details": incomplete,
            "model": self.model,
            "output": [self._message(self._item_status())] if self.text and not failed else [],
            "reasoning": None,
            **self.echo,
            "metadata": self._metadata(),
            **({"usage": usage_of(usage.prompt_tokens, usage.completion_tokens)} if self.final else {}),
            "smartstore": self.smartstore() | ({"session_id": self.session_id} if self.session_id else {}),
        }

    def opening(self) -> Iterator[bytes]:
        """The events before the first text."""
        yield self._event("response.created", response=self._begun())
        yield self._event("response.in_progress", response=self._begun())
        message = self._message("in_progress") | {"content": []}
        yield self._event("response.output_item.added", output_index=0, item=message)
        yield self._part_event("response.content_part.added", part=text_part("", []))

    def take(self, event: TurnEvent) -> Iterator[bytes]:
        """The events that one event of the turn becomes; the last ones end with the response."""
        if isinstance(event, ProviderSwitched) and self.text:
            # What was sent cannot be taken back, and two answers must not mix.
            yield from self.take(_SWITCHED)
            return
        text = self.add(event)
        if text:
            yield self._part_event("response.output_text.delta", delta=text, logprobs=[])
            first = len(self.annotations)
            for index, citation in enumerate(self.cite(), start=first):
                yield self._part_event(
                    "response.output_text.annotation.added", annotation_index=index, annotation=citation
                )
        if isinstance(event, TurnCompleted):
            yield from self._closing()
        elif isinstance(event, TurnFailed):
            yield self._event("response.failed", response=self.whole())

    def fault(self, code: str, message: str) -> bytes:
        """The event of a stream that cannot go on."""
        return self._event("error", code=code, message=message, param=None)

    def _closing(self) -> Iterator[bytes]:
        yield self._part_event("response.output_text.done", text=self.text, logprobs=[])
        yield self._part_event("response.content_part.done", part=text_part(self.text, self.annotations))
        message = self._message(self._item_status())
        yield self._event("response.output_item.done", output_index=0, item=message)
        status = self._status()
        kind = "response.incomplete" if status == "incomplete" else "response.completed"
        yield self._event(kind, response=self.whole())

    def _status(self) -> str:
        match self.final:
            case None:
                return "in_progress"
            case TurnFailed():
                return "failed"
            case TurnCompleted(stopped=True):
                return "cancelled"
            case _:
                return "incomplete" if self.finish_reason in INCOMPLETE else "completed"

    def _item_status(self) -> str:
        if self.final is None:
            return "in_progress"
        return "completed" if self._status() == "completed" else "incomplete"

    def _begun(self) -> dict[str, Any]:
        return self.whole() | {"status": "in_progress", "output": []}

    def _message(self, status: str) -> dict[str, Any]:
        return {
            "id": "msg_" + self.turn_id.removeprefix("t_"),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [text_part(self.text, self.annotations)],
        }

    def _metadata(self) -> dict[str, str]:
        """The caller's pairs, then ours as far as OpenAI's sixteen allow."""
        ours = {"smartstore_turn_id": self.turn_id}
        if isinstance(self.final, TurnCompleted):
            ours |= {"smartstore_verdict": self.final.verdict, "smartstore_provider": self.final.provider}
            for n, each in enumerate(self.suggestions, start=1):
                ours[f"smartstore_follow_up_{n}"] = each.question[:_LONGEST_VALUE]
        room = max(0, _MOST_METADATA - len(self.metadata))
        return {**self.metadata, **dict(list(ours.items())[:room])}

    def _part_event(self, kind: str, **fields: Any) -> bytes:
        item = "msg_" + self.turn_id.removeprefix("t_")
        return self._event(kind, item_id=item, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = typed_event(kind, self.number, fields)
        self.number += 1
        return event


def typed_event(kind: str, number: int, fields: Mapping[str, Any]) -> bytes:
    """One typed event on the wire."""
    body = {"type": kind, "sequence_number": number, **fields}
    return f"event: {kind}\ndata: {one_line(json.dumps(body, ensure_ascii=False))}\n\n".encode()


def text_part(text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """The text of a message."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def usage_of(prompt: int, completion: int) -> dict[str, Any]:
    """Tokens of a response."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
