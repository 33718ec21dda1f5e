"""Lets a model write other ways of asking for each FAQ: the job behind `smartstore expand`.

Knows prompts, attempts and how many run at once; does not know terminals, files or how expansions are
searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from api.errors import ProviderError
from api.events import Usage
from api.expansion.reply import BadReply, read_reply
from api.providers.base import ChatProvider, GenerationOptions, full_answer
from api.providers.openai.chunks import Price
from retrieval.corpus.faq import Faq
from retrieval.prompt import PROMPTS, GroundedPrompt, ground, load_system_prompt

FAILURES_IN_A_ROW = 5
_REQUEST = "이 FAQ가 답이 되는 다른 질문 두 개를 JSON으로 써 주세요."
_ANSWER_CHARS = 1200
_OPTIONS = GenerationOptions(max_tokens=400, temperature=0.7)
# Two characters a token is what providers' usage is estimated by too; a reply holds some 60 of them.
_CHARS_PER_TOKEN = 2
_REPLY_TOKENS = 60


@dataclass
class ExpansionReport:
    """What a run did.

    Attributes:
        written: FAQs that got their two queries.
        skipped: FAQs without, each with the reason.
        usage: tokens and US dollars of every attempt.
    """

    written: int = 0
    skipped: list[tuple[Faq, BadReply | ProviderError]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


def expansion_prompt(faq: Faq, system: str, *, fault: str = "") -> GroundedPrompt:
    """What the model sees for one FAQ; `fault` says what was wrong with its first reply."""
    request = f"{_REQUEST} 앞서 쓴 것은 쓸 수 없었습니다: {fault}." if fault else _REQUEST
    return ground(request, [replace(faq, answer=faq.answer[:_ANSWER_CHARS])], system=system)


def load_expansion_instructions() -> str:
    """Reads the instructions for writing expansions."""
    return load_system_prompt(PROMPTS / "expand.ko.md")


def estimate(faqs: Sequence[Faq], system: str, price: Price) -> Usage:
    """What writing expansions for `faqs` will roughly take: tokens, and US dollars."""
    chars = sum(
        len(message["content"]) for faq in faqs for message in expansion_prompt(faq, system).messages()
    )
    asked, written = -(-chars // _CHARS_PER_TOKEN), _REPLY_TOKENS * len(faqs)
    return Usage(
        prompt_tokens=asked,
        completion_tokens=written,
        cost_usd=price.of(asked, written),
        estimated=True,
    )


async def write_expansions(
    faqs: Sequence[Faq],
    provider: ChatProvider,
    save: Callable[[Faq, tuple[str, str]], None],
    *,
    concurrency: int,
    progress: Callable[[], None],
) -> ExpansionReport:
    """Asks for the queries of each FAQ, several at once, and saves each as it comes.

    Args:
        faqs: those to write for.
        provider: who writes; it must follow instructions (`llm`).
        save: keeps one FAQ's queries.
        concurrency: how many requests run at the same time.
        progress: called after each FAQ.

    Raises:
        ProviderError: the provider failed several times in a row, e.g. for want of a key. What was saved
            stays saved.
    """
    report, left = ExpansionReport(), iter(faqs)
    job = _Job(provider, load_expansion_instructions(), report, save, progress)
    workers = [asyncio.create_task(job.work(left)) for _ in range(min(concurrency, len(faqs)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return report


class _Job:
    """One run's state, shared by its workers."""

    def __init__(
        self,
        provider: ChatProvider,
        system: str,
        report: ExpansionReport,
        save: Callable[[Faq, tuple[str, str]], None],
        progress: Callable[[], None],
    ) -> None:
        self._provider, self._system, self._report = provider, system, report
        self._save, self._progress = save, progress
        self._failures = 0

    async def work(self, left: Iterator[Faq]) -> None:
        """Takes FAQs until none is left."""
        for faq in left:
            try:
                self._save(faq, await self._write(faq))
                self._report.written += 1
                self._failures = 0
            except BadReply as exc:
                self._report.skipped.append((faq, exc))
                self._failures = 0
            except ProviderError as exc:
                self._failures += 1
                if self._failures >= FAILURES_IN_A_ROW:
                    raise
                self._report.skipped.append((faq, exc))
            self._progress()

    async def _write(self, faq: Faq) -> tuple[str, str]:
        """The queries of one FAQ, at the second attempt if need be. Raises `BadReply`, `ProviderError`."""
        try:
            return await self._ask(faq)
        except BadReply as exc:
            fault = exc.message
        return await self._ask(faq, fault=fault)

    async def _ask(self, faq: Faq, *, fault: str = "") -> tuple[str, str]:
        prompt = expansion_prompt(faq, self._system, fault=fault)
        reply, usage = await full_answer(self._provider.stream(prompt, _OPTIONS))
        self._count(usage)
        return read_reply(reply, faq)

    def _count(self, usage: Usage) -> None:
        total = self._report.usage
        self._report.usage = Usage(
            prompt_tokens=total.prompt_tokens + usage.prompt_tokens,
            completion_tokens=total.completion_tokens + usage.completion_tokens,
            cost_usd=total.cost_usd + usage.cost_usd,
            estimated=total.estimated or usage.estimated,
        )
