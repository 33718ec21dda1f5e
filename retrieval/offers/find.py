"""Searches every title of a build once, so that no turn has to. Blocking; minutes for thousands of FAQs.

Knows the search and the verdicts; does not know where the outcome is stored, nor what a session has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from retrieval.corpus.faq import Faq
from retrieval.offers.known import Offer, Offers
from retrieval.offers.wording import offer_text
from retrieval.scope.classifier import ScopeClassifier
from retrieval.search import Searcher, SearchResult, letters

NEIGHBOURS = 12


def find_offers(
    searcher: Searcher, scope: ScopeClassifier, faqs: Sequence[Faq], progress: Callable[[int, int], None]
) -> Offers:
    """Looks up the title of every FAQ, and its short wording where it has one.

    Args:
        searcher: over the build.
        scope: judges what can be answered.
        faqs: of the build.
        progress: told how many titles are done, and of how many.

    Raises:
        EmbedderError, IndexUnavailable: a search failed.
    """
    titles = {letters(faq.question): faq.id for faq in faqs}
    found: dict[str, Offer] = {}
    offerable: list[Faq] = []
    results = searcher.search_all([faq.question for faq in faqs], limit=NEIGHBOURS)
    for n, (faq, result) in enumerate(zip(faqs, results, strict=True)):
        if n % 64 == 0:
            progress(n, len(faqs))
        offer = _offer(faq, result, scope, titles)
        found[faq.id] = offer
        if offer.offerable:
            offerable.append(faq)
    shorts = [(faq, short) for faq in offerable if (short := short_text(faq)) != offer_text(faq)]
    results = searcher.search_all([short for _, short in shorts], limit=1)
    for (faq, short), result in zip(shorts, results, strict=True):
        if result.hits and result.hits[0].faq.id == faq.id:
            old = found[faq.id]
            found[faq.id] = Offer(old.offerable, short, old.neighbours, old.related)
    progress(len(faqs), len(faqs))
    return Offers(offers_version(searcher, scope), found)


def offers_version(searcher: Searcher, scope: ScopeClassifier) -> str:
    """8 hex digits that change with what judges a title besides the index: ranker, reranker, verdicts."""
    digest = hashlib.blake2b(digest_size=4)
    for part in (searcher.ranker.weights, searcher.reranked_by, scope.version):
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def short_text(faq: Faq) -> str:
    """The offer within a conversation about the FAQ's own tag."""
    return offer_text(faq, topic=faq.categories[-1] if faq.categories else "")


def _offer(faq: Faq, result: SearchResult, scope: ScopeClassifier, titles: dict[str, str]) -> Offer:
    ids = [hit.faq.id for hit in result.hits]
    itself = ids[:1] == [faq.id] and scope.judge(faq.question, result, followup=False).verdict == "answered"
    named = (titles.get(letters(title), "") for title in faq.related)
    related = tuple(dict.fromkeys(id for id in named if id and id != faq.id))
    return Offer(itself, "", tuple(id for id in ids if id != faq.id), related)
