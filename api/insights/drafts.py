"""A title and a draft for a gap, by an LLM that may only quote what people wrote.

The draft is the question, the ways it was asked, and the points that an answer has to settle, each a
quotation; the answer itself is left to whoever knows it. Knows texts and a provider; no history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing

from pydantic import BaseModel, Field

from api.providers.base import GenerationOptions
from api.providers.choice import Providers
from api.providers.json_reply import json_object
from retrieval.corpus.cleaning import clean_title
from retrieval.prompt import PROMPTS, GroundedPrompt, load_system_prompt

TITLE_CHARS = (8, 60)
_MOST_QUOTES = 5
_TEXT_CHARS = 500
_OPTIONS = GenerationOptions(max_tokens=400, temperature=0.0)
_NUMBER = re.compile(r"\d+")
_HANGUL = re.compile(r"[가-힣]")


class BadDraft(Exception):
    """The model's reply cannot be used; the message says why."""


class Draft(BaseModel):
    """What an editor begins with."""

    title: str = Field(description="a question that covers the gap")
    quotes: list[str] = Field(description="what people wrote, word for word")
    answer: str = Field(description="the quotations as points to settle, to be written over")


async def draft(texts: Sequence[str], providers: Providers, provider: str) -> Draft:
    """A draft out of what people wrote.

    Raises:
        ProviderError: the provider failed.
        BadDraft: its reply has no usable title, or quotes nothing.
    """
    asked = "\n".join(f"{n}. {text[:_TEXT_CHARS]}" for n, text in enumerate(texts, start=1))
    request = f"<asked>\n{asked}\n</asked>"
    prompt = GroundedPrompt(load_system_prompt(PROMPTS / "gap.ko.md"), (), (), request, request)
    reply = ""
    async with aclosing(providers.stream_from(provider, prompt, _OPTIONS)) as chunks:
        async for chunk in chunks:
            reply += chunk.text
    return read_draft(reply, texts)


def read_draft(reply: str, texts: Sequence[str]) -> Draft:
    """The draft in a reply; quotations that nobody wrote are left out. Raises `BadDraft`."""
    found = json_object(reply)
    if not isinstance(found.get("title"), str):
        raise BadDraft("no JSON with a title")
    title = clean_title(found["title"])
    if not TITLE_CHARS[0] <= len(title) <= TITLE_CHARS[1] or not _HANGUL.search(title):
        raise BadDraft(f"the title {title[:80]!r} is no Korean question of {TITLE_CHARS} characters")
    told = set(_NUMBER.findall(" ".join(texts)))
    if invented := set(_NUMBER.findall(title)) - told:
        raise BadDraft(f"the title has numbers that nobody wrote: {', '.join(sorted(invented))}")
    listed = found.get("quotes")
    each_quoted = (_quotation(each, texts) for each in (listed if isinstance(listed, list) else []))
    quotes = [quote for quote in each_quoted if quote]
    quotes = list(dict.fromkeys(quotes))[:_MOST_QUOTES]
    if not quotes:
        raise BadDraft("it quotes nothing that somebody wrote")
    points = "\n".join(f"· “{quote}”" for quote in quotes)
    return Draft(title=title, quotes=quotes, answer=f"[답을 써 주세요. 물어본 점]\n{points}")


def _quotation(each: object, texts: Sequence[str]) -> str:
    """The quotation, where the text it names holds it word for word; else nothing."""
    if not isinstance(each, dict):
        return ""
    n, quote = each.get("n"), each.get("quote")
    if not isinstance(n, int) or not isinstance(quote, str) or not 1 <= n <= len(texts):
        return ""
    quote = " ".join(quote.split())
    return quote if quote and quote in " ".join(texts[n - 1].split()) else ""
