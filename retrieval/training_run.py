"""Trains what ranks: the embedder's adapter, then the ranker's weights, cross-validated; writes both.

Load, embed, adapt, hold out, fit, save, report, from top to bottom. Knows the files of `configs/ranking`;
does not know settings or an evaluation set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.adapter_training import train_adapter
from retrieval.corpus import Corpus
from retrieval.embedders.base import Embedder
from retrieval.metrics import mrr, recall_at
from retrieval.ranker import PORTABLE, Ranker
from retrieval.tokenizer import KoreanTokenizer
from retrieval.training import figures, fit_ranker, ranks
from retrieval.training_data import (
    CorpusViews,
    RankedQuery,
    TrainingSearch,
    held_out_queries,
    ranked_query,
)

FOLDS = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class HeldOut:
    """An expansion as a query, with the fold whose models never saw its FAQ."""

    fold: int
    expansion: int
    query: RankedQuery


def train(
    corpus: Corpus,
    views: CorpusViews,
    embedder: Embedder,
    *,
    queries: Mapping[str, Sequence[str]],
    out: Path,
    say: Say = lambda text: None,
) -> dict[str, object]:
    """Trains on a corpus and writes `<name>.npz`, `<name>.json` and `portable.json` to `out`.

    Args:
        corpus: the FAQs.
        views: the same, from `corpus_views` with `embedder`.
        embedder: the base embedder, without an adapter.
        queries: further queries by FAQ id, written as users ask; they calibrate the probabilities and
            check the result, and are not learnt from otherwise. May be empty.
        out: the folder.
        say: told what happens.

    Returns:
        The card: what it was trained on and what it reaches.

    Raises:
        ValueError: the corpus has no expansions.
    """
    held_out = cross_validated(views, embedder.name, say=say)
    say("adapter: all FAQs")
    adapter = train_adapter(views.views, embedder.name)
    adapted = f"{embedder.name}+{adapter.version}"
    written = written_queries(corpus, TrainingSearch(views, adapter), embedder, queries)
    everything = [h.query for h in held_out]
    say(f"ranker: {len(everything)} held-out expansions, {len(written)} written queries")
    weights = fit_ranker(everything, embedder=adapted, calibration=written or None)
    portable = fit_ranker(everything, embedder="", calibration=written or None)
    card: dict[str, object] = {
        "corpus": corpus.fingerprint,
        "faqs": len(corpus.faqs),
        "folds": FOLDS,
        "held_out_expansions": cross_figures(held_out, adapted),
        "written_queries": figures(Ranker(weights), written) if written else None,
        "portable": {"written_queries": figures(Ranker(portable), written) if written else None},
    }
    name = file_name(embedder)
    out.mkdir(parents=True, exist_ok=True)
    adapter.save(out / f"{name}.npz")
    weights.save(out / f"{name}.json", card=card)
    portable.save(out / PORTABLE, card=card)
    return card


def cross_validated(views: CorpusViews, base: str, *, say: Say = lambda text: None) -> list[HeldOut]:
    """Every expansion as a query, searched with an adapter that saw neither it nor its FAQ."""
    folds = np.random.default_rng(0).integers(0, FOLDS, len(views.views))
    found: list[HeldOut] = []
    for fold in range(FOLDS):
        say(f"adapter: fold {fold + 1} of {FOLDS}")
        adapter = train_adapter(views.views, base, faqs=np.flatnonzero(folds != fold))
        search = TrainingSearch(views, adapter)
        unseen = held_out_queries(views, search, np.flatnonzero(folds == fold))
        found += [HeldOut(fold, k, query) for k, query in unseen]
    return found


def cross_figures(held_out: Sequence[HeldOut], embedder: str) -> dict[str, dict[str, float]]:
    """Figures per expansion number, with weights fitted to the other folds."""
    positions: dict[int, list[int | None]] = {}
    for fold in range(FOLDS):
        weights = fit_ranker([h.query for h in held_out if h.fold != fold], embedder=embedder)
        tested = [h for h in held_out if h.fold == fold]
        for one, rank in zip(tested, ranks(Ranker(weights), [h.query for h in tested]), strict=True):
            positions.setdefault(one.expansion, []).append(rank)
    return {
        str(k): {
            "queries": len(found),
            "recall@1": round(recall_at(found, 1), 4),
            "recall@5": round(recall_at(found, 5), 4),
            "mrr": round(mrr(found), 4),
        }
        for k, found in sorted(positions.items())
    }


def written_queries(
    corpus: Corpus, search: TrainingSearch, embedder: Embedder, queries: Mapping[str, Sequence[str]]
) -> list[RankedQuery]:
    """Queries written for FAQs, searched with every expansion in place; unknown ids are passed over."""
    pairs = [
        (corpus.row_of(id), text) for id, texts in queries.items() if id in corpus.by_id for text in texts
    ]
    if not pairs:
        return []
    tokenizer = KoreanTokenizer()
    terms = [tokenizer.tokens(text) for _, text in pairs]
    vectors = search.embed(embedder.embed_queries([text for _, text in pairs]).dense, terms)
    return [
        ranked_query(search.legs(vector, found), {row})
        for (row, _), vector, found in zip(pairs, vectors, terms, strict=True)
    ]


def file_name(embedder: Embedder) -> str:
    """What the files of an embedder are called: its name without versions."""
    parts = embedder.name.replace("/", "-").split("-")
    return "-".join(parts[:2])
