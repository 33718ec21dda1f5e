"""Asks the LLM that will answer to make a follow-up readable without its conversation.

Knows the instructions and which replies can be used; does not know search, events or where a conversation
is stored. A provider that fails, is late or replies with something else leaves the reading by rule
(`api/conversation/context.py`) in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import structlog

from api.conversation.languages import holds_korean
from api.errors import ProviderError
from api.providers.base import GenerationOptions
from api.providers.choice import Providers
from retrieval.prompt import NOT_FOUND, PROMPTS, REFUSAL, Exchange, GroundedPrompt, load_system_prompt
from retrieval.scope.injection import is_injection

log = structlog.get_logger(__name__)
_MAX_TOKENS = 96
_LONGEST = 200
_ANSWER_CHARS = 300
_LABELS = ("질문:", "고쳐 쓴 질문:", "답:")


class QuestionRewriter:
    """Makes follow-ups standalone.

    Args:
        providers: who is asked, counted and guarded by its breaker as for an answer.
        timeout_s: how long a reply may take; a turn waits for it.
        system: the instructions; `configs/prompts/rewrite.ko.md` by default.
        translating: those for a question in another language; `configs/prompts/translate.ko.md` by default.
    """

    def __init__(
        self, providers: Providers, *, timeout_s: float, system: str = "", translating: str = ""
    ) -> None:
        self._providers, self._timeout_s = providers, timeout_s
        self._system = system or load_system_prompt(PROMPTS / "rewrite.ko.md")
        self._translating = translating or load_system_prompt(PROMPTS / "translate.ko.md")

    async def rewrite(
        self, provider: str, question: str, history: Sequence[Exchange], *, session: str
    ) -> str | None:
        """Returns the standalone question, or None where `provider` gave none that can be used."""
        return await self._ask(self._system, provider, question, history, session)

    async def translate(
        self, provider: str, question: str, history: Sequence[Exchange], *, session: str
    ) -> str | None:
        """Returns the question in Korean and standalone, or None as `rewrite`."""
        korean = await self._ask(self._translating, provider, question, history, session)
        return korean if korean and holds_korean(korean) else None

    async def _ask(
        self, system: str, provider: str, question: str, history: Sequence[Exchange], session: str
    ) -> str | None:
        said = tuple(Exchange(e.question, e.answer[:_ANSWER_CHARS]) for e in history)
        prompt = GroundedPrompt(system, said, (), question, question)
        options = GenerationOptions(max_tokens=_MAX_TOKENS, temperature=0.0, session=session)
        reply = ""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                aclosing(self._providers.stream_from(provider, prompt, options)) as chunks,
            ):
                async for chunk in chunks:
                    reply += chunk.text
        except (ProviderError, TimeoutError) as exc:
            log.warning("question_not_rewritten", provider=provider, reason=type(exc).__name__)
            return None
        return usable(reply)


def usable(reply: str) -> str | None:
    """The question in a reply; None for an answer, a refusal, orders, or more than a sentence or two."""
    text = " ".join(reply.split())
    for label in _LABELS:
        text = text.removeprefix(label).strip()
    text = text.strip("\"'“”‘’ ")
    if not 2 <= len(text) <= _LONGEST or text in (REFUSAL, NOT_FOUND) or "[1]" in text:
        return None
    return None if is_injection(text) else text
