"""Opens what answers questions: the search and the conversation over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.conversation.answer import AnswerRules, Conversation
from api.conversation.context import ContextResolver
from api.conversation.followups import FollowUps
from api.conversation.rewriting import QuestionRewriter
from api.indexing.opening import open_searcher
from api.providers.choice import Providers
from api.providers.factory import open_providers
from api.settings import ConversationSettings, Settings
from api.state.connection import State
from retrieval.prompt import load_system_prompt
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers questions; needs no state store.

    Attributes:
        searcher: finds FAQs.
        conversation: answers turns.
    """

    searcher: Searcher
    conversation: Conversation


@asynccontextmanager
async def open_engine(
    settings: Settings, *, state: State | None = None, of_corpus: bool = False, first: bool = False
) -> AsyncIterator[Engine]:
    """Opens search and conversation; raises as `open_searcher` does."""
    searcher = await asyncio.to_thread(open_searcher, settings, of_corpus=of_corpus, first=first)
    try:
        await asyncio.to_thread(
            searcher.search, "정산은 언제 되나요?"
        )  # loads the models before the first turn
        scope = ScopeClassifier.load()
        async with open_providers(settings, searcher.tokenizer, state=state) as providers:
            conversation = Conversation(
                context=ContextResolver(searcher, scope=scope),
                scope=scope,
                followups=FollowUps(searcher, scope=scope),
                providers=providers,
                rewriter=_rewriter(settings, providers),
                rules=answer_rules(settings.conversation),
            )
            try:
                yield Engine(searcher, conversation)
            finally:
                conversation.lanes.close()
    finally:
        searcher.index.close()


def answer_rules(settings: ConversationSettings) -> AnswerRules:
    """What the settings tell providers, and hold them to."""
    return AnswerRules(
        load_system_prompt(),
        passages=settings.passages,
        max_tokens=settings.max_answer_tokens,
        drop_ungrounded=settings.ungrounded == "drop",
    )


def _rewriter(settings: Settings, providers: Providers) -> QuestionRewriter | None:
    timeout_s = settings.conversation.rewrite_timeout_s
    return QuestionRewriter(providers, timeout_s=timeout_s) if timeout_s else None
