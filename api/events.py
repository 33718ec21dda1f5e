"""The events of a turn: what the conversation writes and every route follows.

Field names are the public contract of the SSE, WebSocket and replay endpoints.
Knows nothing of how events are stored or sent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from retrieval.characters import one_line
from retrieval.prompt import REFUSAL as REFUSAL

Verdict = Literal["answered", "unsure", "not_found", "off_topic"]
Intent = Literal["question", "greeting", "thanks", "person"]
# Why an answer ended, in OpenAI's words; anything but `stop` is not whole.
FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
# What was wrong with a model's answer: `repaired` cited nothing, but its source was sure and was put in;
# `uncited` cited nothing; `title_only` was no more than a title, or a question; `repetition` said the same
# over and over and was cut; `wrong_language` had no Korean in it and was not shown.
AnswerFault = Literal["repaired", "uncited", "title_only", "repetition", "wrong_language"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Source(_Event):
    """A FAQ the answer was given, numbered as the answer cites it."""

    n: int
    faq_id: str
    question: str
    categories: tuple[str, ...] = ()
    score: float


class Suggestion(_Event):
    """A follow-up or a choice: `text` is what is shown, `question` what is sent when it is taken."""

    faq_id: str
    question: str
    text: str


class Usage(_Event):
    """Tokens of one answer and their price.

    `estimated` is true where the provider did not report usage and it was counted here.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False


class TurnStarted(_Event):
    """The turn has begun."""

    type: Literal["turn.started"] = "turn.started"
    turn_id: str
    session_id: str
    provider: str
    model: str


class QuestionRewritten(_Event):
    """The question as it reads without the conversation (only where it differs)."""

    type: Literal["question.rewritten"] = "question.rewritten"
    standalone: str


class Sources(_Event):
    """The FAQs the answer draws on."""

    type: Literal["sources"] = "sources"
    sources: tuple[Source, ...]


class Delta(_Event):
    """The next piece of the answer."""

    type: Literal["delta"] = "delta"
    text: str


class ProviderSwitched(_Event):
    """The answer starts again: text shown so far is void.

    With another provider, or with another server or worker of the same one (`to` is `from` then).
    """

    type: Literal["provider.switched"] = "provider.switched"
    from_: str = Field(alias="from")
    to: str
    reason: str


class Suggestions(_Event):
    """What can be asked next.

    `follow_ups` are zero to three questions that lead on. `choices`, of an answer that is `unsure`, are the
    one to four FAQs that are likeliest meant, best first: the one taken is answered.
    """

    type: Literal["suggestions"] = "suggestions"
    kind: Literal["follow_ups", "choices"] = "follow_ups"
    suggestions: tuple[Suggestion, ...]


class TurnCompleted(_Event):
    """The turn is over and saved.

    Attributes:
        answer: the whole answer: the joined deltas since the last switch, put in by the turn's transcript.
        intent: what the seller wanted, where it was no question: a greeting or thanks (the verdict is
            `off_topic`), or to speak to a `person` (`not_found`).
        citations: passage numbers the answer cites.
        dropped_citations: citations removed because no such passage was given.
        ungrounded: sentences of a model that hold a figure or a menu of no FAQ they cite.
        faults: what was wrong with a model's answer.
        trimmed_exchanges: earlier exchanges that the model's context window had no room for.
        trimmed_passages: sources, the last ones, that it had no room for either; they are not cited.
        timings_ms: duration of each step in milliseconds.
        index: fingerprint of the index that was searched.
        finish_reason: why the answer ended.
        truncated: it is not whole: the provider, or a bound, ended it before its end.
    """

    type: Literal["turn.completed"] = "turn.completed"
    answer: str = ""
    verdict: Verdict
    intent: Intent = "question"
    citations: tuple[int, ...] = ()
    dropped_citations: int = 0
    ungrounded: tuple[str, ...] = ()
    faults: tuple[AnswerFault, ...] = ()
    trimmed_exchanges: int = 0
    trimmed_passages: int = 0
    usage: Usage = Usage()
    timings_ms: dict[str, float] = {}
    index: str = ""
    provider: str = ""
    cached: bool = False
    stopped: bool = False
    finish_reason: FinishReason = "stop"
    truncated: bool = False


class TurnFailed(_Event):
    """The turn ended without an answer; `message` is for the seller, in Korean."""

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool


TurnEvent = Annotated[
    TurnStarted
    | QuestionRewritten
    | Sources
    | Delta
    | ProviderSwitched
    | Suggestions
    | TurnCompleted
    | TurnFailed,
    Field(discriminator="type"),
]
TURN_EVENT: TypeAdapter[TurnEvent] = TypeAdapter(TurnEvent)
FINAL_EVENTS = ("turn.completed", "error")


def is_final(event: TurnEvent) -> bool:
    """True for the last event of a turn."""
    return event.type in FINAL_EVENTS


def event_data(event: TurnEvent) -> str:
    """The event's JSON, on one line for every reader, without its type (SSE's event name)."""
    return one_line(event.model_dump_json(exclude={"type"}, by_alias=True))
