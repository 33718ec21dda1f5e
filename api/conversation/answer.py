"""One turn: question in, events out. Stateless: the memory comes in, nothing is stored here.

    history -> standalone question -> hybrid search -> scope verdict -> grounded prompt
            -> provider stream -> citations -> follow-ups -> turn.completed

Knows no HTTP, no Redis and no queue; runners store what it yields.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from api.conversation.answer_text import AnswerText
from api.conversation.checks.bounds import AnswerBounds
from api.conversation.context import ContextResolver, Resolution
from api.conversation.followups import FollowUps, choices
from api.conversation.lanes import ReadingLanes
from api.conversation.languages import Language, language_of, notice
from api.conversation.memory import Memory
from api.conversation.rewriting import QuestionRewriter
from api.events import (
    Delta,
    FinishReason,
    Intent,
    ProviderSwitched,
    QuestionRewritten,
    Source,
    Sources,
    Suggestions,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
    Usage,
    Verdict,
)
from api.observability.tracing import tracer
from api.providers.base import Chunk, Trimmed
from api.providers.choice import Providers, Switched
from api.turns.runners.base import TurnRequest
from retrieval.prompt import Exchange, GroundedPrompt, ground
from retrieval.quoting.glimpse import glimpse
from retrieval.ranking.ranker import Hit
from retrieval.scope.classifier import ScopeClassifier, ScopeLabel, ScopeVerdict
from retrieval.scope.fixed_answers import fixed_text

# Least likeness of a question in another language to a FAQ that makes it one about a store: on the sample, in
# English, Japanese, Chinese and Spanish, 9 of 10 such questions have 0.35 or more, 13 others 0.31 at most.
_OF_A_STORE = 0.33


@dataclass(slots=True)
class _Draft:
    """What is known of the answer so far."""

    verdict: Verdict
    provider: str
    intent: Intent = "question"
    text: AnswerText | None = None
    trimmed: Trimmed = Trimmed()
    usage: Usage = Usage()
    finish: FinishReason = "stop"
    language: Language = "ko"
    injection: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Times a step of the turn, which is a span of its trace too."""
        started = time.perf_counter()
        try:
            with tracer.start_as_current_span(step):
                yield
        finally:
            self.timings_ms[step] = round((time.perf_counter() - started) * 1000, 2)


def _sources(hits: Sequence[Hit]) -> Sources:
    return Sources(
        sources=tuple(
            Source(n=n, faq_id=hit.faq.id, question=hit.faq.question,
                   categories=hit.faq.categories, score=round(hit.score, 4))
            for n, hit in enumerate(hits, start=1)
        )
    )  # fmt: skip


def _dense(hit: Hit) -> list[float]:
    return [score for part, score in hit.scores.items() if part.startswith("dense")]


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What the providers are told, and held to.

    Attributes:
        system: the instructions of the grounded prompt.
        passages: how many FAQs the prompt holds.
        max_tokens: bound on an answer, in tokens.
        drop_ungrounded: leave out a model's sentences whose figures or menus no cited FAQ holds.
    """

    system: str
    passages: int = 4
    max_tokens: int = 700
    drop_ungrounded: bool = False


class Conversation:
    """Answers turns from the FAQ.

    Args:
        context: makes the question standalone and searches.
        scope: judges whether the FAQ can answer it.
        followups: suggests what to ask next.
        providers: who writes the answer.
        rewriter: lets an LLM read follow-ups; None leaves them to the rule.
        rules: what the providers are told, and held to.

    Attributes:
        lanes: where questions are read.
    """

    def __init__(
        self,
        *,
        context: ContextResolver,
        scope: ScopeClassifier,
        followups: FollowUps,
        providers: Providers,
        rewriter: QuestionRewriter | None = None,
        rules: AnswerRules,
    ) -> None:
        self.lanes = ReadingLanes()
        self._context, self._scope, self._followups = context, scope, followups
        self.providers, self._rewriter = providers, rewriter
        self._rules = rules

    async def answer(self, request: TurnRequest, memory: Memory) -> AsyncGenerator[TurnEvent]:
        """Yields the events of one turn, `turn.started` first and `turn.completed` last.

        Closing the iterator stops the provider. Raises `ApiError` where no answer is possible.
        """
        provider = self.providers.get(request.provider)
        started = time.perf_counter()
        yield TurnStarted(
            turn_id=request.turn_id, session_id=request.session_id,
            provider=provider.name, model=self.providers.model_of(provider.name, request.session_id),
        )  # fmt: skip
        draft = _Draft("answered", provider.name, language=language_of(request.question))
        with draft.timed("context"):
            read = max((request.question, *(turn.standalone for turn in memory.turns)), key=len)
            resolution = await self.lanes.run(read, self._context.resolve, request.question, memory)
        if resolution.needs_rewriting and provider.llm and self._rewriter is not None:
            with draft.timed("rewrite"):
                resolution = await self._rewritten(self._rewriter, request, memory, resolution)
        draft.timings_ms.update({k: round(v, 2) for k, v in resolution.result.timings_ms.items()})
        with draft.timed("verdict"):
            judged = self._judged(resolution)
        if not judged.injection and draft.language != "ko":
            resolution, judged = await self._foreign(request, memory, resolution, judged, draft)
        if resolution.shown and resolution.standalone != request.question:
            yield QuestionRewritten(standalone=resolution.standalone)
        draft.verdict, draft.intent, draft.injection = judged.verdict, judged.intent, judged.injection
        async with aclosing(self._write(request, memory, resolution, draft)) as writing:
            async for event in writing:
                if isinstance(event, Delta) and "first_delta" not in draft.timings_ms:
                    draft.timings_ms["first_delta"] = round((time.perf_counter() - started) * 1000, 2)
                yield event
        with draft.timed("suggestions"):
            yield await self._suggestions(resolution, replace(judged, verdict=draft.verdict), memory)
        draft.timings_ms["total"] = round((time.perf_counter() - started) * 1000, 2)
        yield self._completed(draft, resolution)

    def _judged(self, resolution: Resolution) -> ScopeVerdict:
        """The verdict; a wish for more, or for something else, is a wish and not judged as a question."""
        judged = self._scope.judge(resolution.standalone, resolution.result, followup=resolution.followup)
        if resolution.detail:
            return replace(judged, verdict="answered", intent="question")
        if resolution.others:
            verdict: Verdict = "unsure" if resolution.result.hits else "not_found"
            return replace(judged, verdict=verdict, intent="question")
        return judged

    async def _suggestions(self, resolution: Resolution, judged: ScopeVerdict, memory: Memory) -> Suggestions:
        """Choices where the answer is unsure, else follow-ups."""
        if judged.verdict == "unsure":
            return Suggestions(kind="choices", suggestions=choices(resolution.result))
        offered = await asyncio.to_thread(
            self._followups.suggest, resolution.result, judged, memory, resolution.standalone
        )
        return Suggestions(suggestions=offered)

    async def _rewritten(
        self, rewriter: QuestionRewriter, request: TurnRequest, memory: Memory, by_rule: Resolution
    ) -> Resolution:
        """The follow-up as the turn's own LLM reads it; as the rule reads it where that fails."""
        provider = self.providers.get(request.provider).name
        standalone = await rewriter.rewrite(
            provider, request.question, memory.exchanges(), session=request.session_id
        )
        if standalone is None:
            return by_rule
        return await self.lanes.run(standalone, partial(self._context.search, standalone, followup=True))

    async def _foreign(
        self, request: TurnRequest, memory: Memory, asked: Resolution, judged: ScopeVerdict, draft: _Draft
    ) -> tuple[Resolution, ScopeVerdict]:
        """A question in another language: as its LLM puts it in Korean; else it is told what is understood.

        Across languages the search is too weak to answer from, but it tells what has to do with a store.
        """
        provider, korean = self.providers.get(request.provider), None
        if provider.llm and self._rewriter is not None:
            with draft.timed("translate"):
                korean = await self._rewriter.translate(
                    provider.name, request.question, memory.exchanges(), session=request.session_id
                )
        if korean is None:
            near = any(max(_dense(hit), default=0.0) >= _OF_A_STORE for hit in asked.result.hits[:1])
            verdict: ScopeLabel = "not_found" if near or judged.verdict != "off_topic" else "off_topic"
            return asked, replace(judged, verdict=verdict)
        draft.language = "ko"
        resolution = await self.lanes.run(korean, partial(self._context.search, korean, followup=False))
        return resolution, self._scope.judge(korean, resolution.result, followup=False)

    async def _write(
        self, request: TurnRequest, memory: Memory, resolution: Resolution, draft: _Draft
    ) -> AsyncGenerator[TurnEvent]:
        """The answer's text: a fixed one, or the provider's stream."""
        if draft.verdict != "answered":
            text = fixed_text(draft.verdict, draft.intent)
            if draft.language != "ko" and not draft.injection:
                text = notice(draft.language)
            elif draft.verdict == "unsure":
                likely = resolution.result.hits[0]
                yield _sources([likely])
                text += f"\n\n**{likely.faq.question}**\n{glimpse(likely.faq.answer)} [1]"
            bounds = AnswerBounds(request.options.stop, request.options.max_tokens)
            shown = bounds.feed(text) + bounds.flush()
            draft.finish = "length" if bounds.truncated else "stop"
            if shown:
                yield Delta(text=shown)
            return
        prompt = self._prompt(request, memory, resolution)
        hits = resolution.result.hits[: self._rules.passages]
        yield _sources(hits)
        with draft.timed("answer"):
            async for event in self._generate(request, prompt, draft):
                yield event

    async def _generate(
        self, request: TurnRequest, prompt: GroundedPrompt, draft: _Draft
    ) -> AsyncGenerator[TurnEvent]:
        """The provider's stream with its citations checked; a switch starts the text again.

        A provider that says the refusal or the not-found sentence has given that verdict.
        """
        options = replace(
            request.options,
            max_tokens=request.options.max_tokens or self._rules.max_tokens,
            session=request.session_id,
        )
        text = draft.text = self._text(draft.provider, prompt, request)
        async with aclosing(self.providers.stream(draft.provider, prompt, options)) as stream:
            async for item in stream:
                match item:
                    case Switched(from_=old, to=new, reason=reason, silent=silent):
                        draft.provider, draft.finish, draft.trimmed = new, "stop", Trimmed()
                        text = draft.text = self._text(new, prompt, request)
                        if not silent:
                            yield ProviderSwitched(from_=old, to=new, reason=reason)
                    case Chunk(trimmed=Trimmed() as trimmed):
                        draft.trimmed = trimmed
                        text.give(len(prompt.passages) - trimmed.passages)
                    case Chunk(text=piece, usage=usage, finish=finish):
                        draft.usage, draft.finish = usage or draft.usage, finish or draft.finish
                        if shown := text.feed(piece):
                            yield Delta(text=shown)
                        if text.ended:
                            break
        if rest := text.flush():
            yield Delta(text=rest)
        draft.verdict, draft.finish = text.verdict, text.finish(draft.finish)

    def _text(self, provider: str, prompt: GroundedPrompt, request: TurnRequest) -> AnswerText:
        """What becomes of this provider's text; a model counts its own tokens."""
        llm = self.providers.get(provider).llm
        bounds = AnswerBounds(request.options.stop, None if llm else request.options.max_tokens)
        return AnswerText(prompt.passages, bounds, llm=llm, drop_ungrounded=self._rules.drop_ungrounded)

    def _prompt(self, request: TurnRequest, memory: Memory, resolution: Resolution) -> GroundedPrompt:
        """The grounded prompt; history given by the caller replaces the session's."""
        given = request.history
        history = tuple(Exchange(q, a) for q, a in given) if given is not None else memory.exchanges()
        faqs = [hit.faq for hit in resolution.result.hits[: self._rules.passages]]
        return ground(
            request.question,
            faqs,
            system=self._rules.system,
            history=history,
            standalone=resolution.standalone,
            detail=resolution.detail,
        )

    def _completed(self, draft: _Draft, resolution: Resolution) -> TurnCompleted:
        text = draft.text
        return TurnCompleted(
            verdict=draft.verdict,
            intent=draft.intent,
            citations=text.cited if text and draft.verdict == "answered" else (),
            dropped_citations=text.dropped_citations if text else 0,
            ungrounded=text.ungrounded if text else (),
            faults=tuple(text.faults) if text else (),
            trimmed_exchanges=draft.trimmed.exchanges,
            trimmed_passages=draft.trimmed.passages,
            usage=draft.usage,
            timings_ms=draft.timings_ms,
            index=resolution.result.fingerprint,
            provider=draft.provider,
            finish_reason=draft.finish,
            truncated=draft.finish != "stop",
        )
