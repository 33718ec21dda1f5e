"""Trains what ranks: the embedder's adapter, then the ranker's weights, cross-validated; writes both.

Load, embed, adapt, hold out, fit, save, report, from top to bottom. Knows the files of `configs/ranking`;
does not know settings or an evaluation set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from retrieval.corpus.faq import Corpus
from retrieval.embedders.adapter import Adapter
from retrieval.embedders.base import Embedder
from retrieval.index.base import IndexQuery
from retrieval.ranking.ranker import PORTABLE, Ranker, Weights
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training.adapter import train_adapter
from retrieval.training.data import CorpusViews, RankedQuery, held_out_queries, ranked_query
from retrieval.training.ranker import (
    LABELLED_SHARE,
    calibration_error,
    cross_validated_error,
    cross_validated_figures,
    figures,
    fit_ranker,
    recalibrated,
)

Say = Callable[[str], None]
_PARTS = 5


def train(
    corpus: Corpus,
    views: CorpusViews,
    embedder: Embedder,
    *,
    queries: Mapping[str, Sequence[str]],
    labelled: Sequence[tuple[str, Collection[str]]] = (),
    out: Path,
    say: Say = lambda text: None,
) -> dict[str, object]:
    """Trains on a corpus and writes `<name>.npz`, `<name>.json` and `portable.json` to `out`.

    Args:
        corpus: the FAQs.
        views: the same, from `corpus_views` with `embedder`.
        embedder: the base embedder, without an adapter.
        queries: further queries by FAQ id, written as users ask; they check the result, and calibrate the
            probabilities where there are no labelled ones. May be empty.
        labelled: questions of users with the ids of all FAQs that answer them. They share in the loss of
            the weights, and calibrate the probabilities. Each is asked of an index that lacks it, and what
            the card says of them is measured on folds that were not learnt from.
        out: the folder.
        say: told what happens.

    Returns:
        The card of each file of weights: what it was trained on and what it reaches.

    Raises:
        ValueError: the corpus has no expansions.
    """
    held_out = held_out_by_expansion(views, embedder.name, say=say)
    say("adapter: everything")
    adapter = train_adapter(views.vectors, embedder.name)
    pairs = [(text, (id,)) for id, texts in queries.items() if id in corpus.by_id for text in texts]
    written = asked_queries(views, adapter, embedder, pairs)
    everything = [query for queries_of_one in held_out for query in queries_of_one]
    say(f"ranker: {len(everything)} held-out expansions, {len(written)} written queries")
    name = file_name(embedder)
    out.mkdir(parents=True, exist_ok=True)
    adapter.save(out / f"{name}.npz")
    card: dict[str, object] = {"corpus": corpus.fingerprint, "faqs": len(corpus.faqs)}
    card["held_out_expansions"] = cross_figures(held_out, adapter.name)
    cards: dict[str, object] = {}
    # The portable weights see the base vectors of questions, as they will with another embedder.
    for file, one in ((f"{name}.json", adapter), (PORTABLE, None)):
        known_as = one.name if one else ""
        asked = asked_queries(views, one, embedder, labelled)
        weights = fit_ranker(
            everything, embedder=known_as, calibration=asked or written or None, labelled=asked
        )
        cards[file] = own = card | {"written_queries": figures(Ranker(weights), written) if written else None}
        if asked:
            unseen = Ranker(fit_ranker(everything, embedder=known_as))
            own["labelled"] = {
                "share_of_the_loss": LABELLED_SHARE,
                "not_learnt_from": figures(unseen, asked),
                "cross_validated": cross_validated_figures(everything, asked, embedder=known_as),
            }
        weights.save(out / file, card=own)
    return cards


def held_out_by_expansion(
    views: CorpusViews, base: str, *, say: Say = lambda text: None
) -> list[list[RankedQuery]]:
    """The k-th expansions as queries, where neither the index nor the adapter knows any k-th expansion.

    So the FAQs are known and the wording is not, as in service.
    """
    found = []
    count = len(views.asked)
    for k in range(count):
        say(f"adapter: without expansion {k + 1} of {count}")
        known = views.vectors.without(k) if count > 1 else views.vectors
        found.append(list(held_out_queries(views, train_adapter(known, base), k)))
    return found


def cross_figures(held_out: Sequence[Sequence[RankedQuery]], embedder: str) -> dict[str, object]:
    """Figures per expansion, with weights fitted to the other expansions (to all, where there is one)."""
    report: dict[str, object] = {}
    for k, tested in enumerate(held_out):
        others = [
            query for n, queries in enumerate(held_out) if n != k or len(held_out) == 1 for query in queries
        ]
        report[str(k)] = figures(Ranker(fit_ranker(others, embedder=embedder)), tested)
    return report


def asked_queries(
    views: CorpusViews,
    adapter: Adapter | None,
    embedder: Embedder,
    asked: Sequence[tuple[str, Collection[str]]],
) -> list[RankedQuery]:
    """Questions with the ids of the FAQs that answer them, each asked of an index that lacks its text."""
    if not asked:
        return []
    tokenizer = KoreanTokenizer()
    embedded = embedder.embed_queries([text for text, _ in asked])
    vectors = adapter.queries(embedded.dense) if adapter else embedded.dense
    sparse = embedded.sparse or [None] * len(asked)
    # A fifth of what stands among the expansions is left out at a time; the rest is asked of everything.
    parts: dict[int, list[int]] = {}
    for n, (text, _) in enumerate(asked):
        parts.setdefault(n % _PARTS if text in views.of_text else _PARTS, []).append(n)
    found: dict[int, RankedQuery] = {}
    for numbers in parts.values():
        known = [row for n in numbers for row in views.of_text.get(asked[n][0], ())]
        index = views.index(adapter, without=known)
        for n in numbers:
            text, ids = asked[n]
            query = IndexQuery(text, vectors[n], tokenizer.tokens(text), sparse[n])
            found[n] = ranked_query(index, query, ids)
    return [found[n] for n in range(len(asked))]


def calibrate(
    views: CorpusViews,
    adapter: Adapter | None,
    embedder: Embedder,
    *,
    asked: Sequence[tuple[str, Collection[str]]],
    folder: Path,
) -> dict[str, object]:
    """Fits the probabilities of the weights in `folder` to questions in users' own words; writes them.

    The portable weights see the base vectors, as they will with another embedder.

    Returns:
        The card of each file, with the calibration error before and, cross-validated, after.

    Raises:
        RankerError: there are no weights.
    """
    report: dict[str, object] = {}
    for name, one in ((f"{file_name(embedder)}.json", adapter), (PORTABLE, None)):
        queries, path = asked_queries(views, one, embedder, asked), folder / name
        before = Weights.load(path)
        card = json.loads(path.read_text(encoding="utf-8"))["card"]
        card["calibrated_on"] = {
            "queries": len(queries),
            "calibration_error_before": round(calibration_error(Ranker(before), queries), 4),
            "calibration_error_cross_validated": round(cross_validated_error(before, queries), 4),
        }
        recalibrated(before, queries).save(path, card=card)
        report[name] = card["calibrated_on"]
    return report


def file_name(embedder: Embedder) -> str:
    """What the files of an embedder are called: its name without versions."""
    parts = embedder.name.replace("/", "-").split("-")
    return "-".join(parts[:2])
