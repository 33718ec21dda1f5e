"""Asks a model, past the verdict of the search, what no FAQ answers: does it say so itself?

In a turn the search turns most of these questions away before a model sees them, so a whole turn tells
little of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from api.conversation.answer import Conversation
from api.conversation.context import ContextResolver
from api.conversation.followups import FollowUps
from api.conversation.opening import Engine, answer_rules
from api.settings import ConversationSettings
from retrieval.scope.classifier import ScopeClassifier, ScopeVerdict
from retrieval.search import SearchResult
from tests.real.kept import KeptPlayer
from tests.real.sample import Row


class _Answerable(ScopeClassifier):
    """Lets every question through to the model."""

    def judge(self, question: str, result: SearchResult, *, followup: bool) -> ScopeVerdict:
        judged = super().judge(question, result, followup=followup)
        return replace(judged, verdict="answered", injection=False, intent="question")


def unjudged(engine: Engine, settings: ConversationSettings) -> Conversation:
    """The engine's conversation, in which only the model may turn a question away."""
    return Conversation(
        context=ContextResolver(engine.searcher),
        scope=_Answerable.load(),
        followups=FollowUps(engine.searcher),
        providers=engine.conversation.providers,
        rules=answer_rules(settings),
    )


async def measure_refusals(player: KeptPlayer, rows: Iterable[Row]) -> list[Row]:
    """Per question that no FAQ answers: whether the model said one of the two fixed sentences, or answered.

    Neither is an answer that cites nothing, asks back or repeats a title: the turn ends as `unsure`.
    """
    found = []
    for row in rows:
        turn = await player(row["text"])
        found.append(
            {
                "text": row["text"],
                "refused": turn.verdict in ("not_found", "off_topic"),
                "answered": turn.verdict == "answered",
            }
        )
    return found
