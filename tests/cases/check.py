"""Plays the lists of this folder on the settings' FAQ and prints the counts as JSON.

`commonest.tsv`: the forty commonest questions of one or two words, written before any was asked, each with
what a FAQ that helps has in its title. `topic_changes.tsv`: a question, and one about something else.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from api.conversation.context import ContextResolver
from api.conversation.memory import Memory
from api.conversation.opening import Engine, open_engine
from api.evaluation.play import PlayedTurn, play
from api.settings import load_settings

CASES = Path(__file__).resolve().parent


def pairs(name: str) -> list[tuple[str, str]]:
    """The two columns of a list."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    return [(first, second) for first, _, second in (line.partition("\t") for line in lines)]


def helped(turn: PlayedTurn, titles: str, engine: Engine) -> bool:
    """Answered from a FAQ with one of the words in its title, or offered one."""
    if turn.verdict == "answered":
        found = engine.searcher.index.get(turn.answered[:1] or turn.sources[:1]).values()
        return any(re.search(titles, faq.question) for faq in found)
    return turn.verdict == "unsure" and any(re.search(titles, s.question) for s in turn.suggestions)


async def commonest(engine: Engine) -> dict[str, Any]:
    """How many are helped, and which are not, or are called off topic."""
    lost, refused = [], []
    for question, titles in pairs("commonest.tsv"):
        turn = await play(engine.conversation, question, Memory(), provider="extractive")
        if turn.verdict == "off_topic":
            refused.append(question)
        if not helped(turn, titles, engine):
            lost.append(question)
    return {"questions": len(pairs("commonest.tsv")), "lost": lost, "off_topic": refused}


async def topic_changes(engine: Engine) -> dict[str, Any]:
    """Which second questions are read in the light of the first."""
    context, polluted = ContextResolver(engine.searcher), []
    for first, second in pairs("topic_changes.tsv"):
        before = await play(engine.conversation, first, Memory(), provider="extractive")
        memory = Memory((before.remembered(),))
        if (await asyncio.to_thread(context.resolve, second, memory)).standalone != second:
            polluted.append(second)
    return {"changes": len(pairs("topic_changes.tsv")), "polluted": polluted}


async def main() -> None:
    """Prints both."""
    async with open_engine(load_settings()) as engine:
        report = {"commonest": await commonest(engine), "topic_changes": await topic_changes(engine)}
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main())
