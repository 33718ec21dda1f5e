"""`smartstore train-ranker`: fits search to a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_ranker(
    faq: Annotated[Path | None, typer.Option("--faq", help="FAQ file; the settings' one by default")] = None,
    expansions: Annotated[
        Path | None, typer.Option(help="file or folder; the settings' one by default")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="written queries that calibrate; configs/ranking/queries.jsonl by default"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the result; configs/ranking by default")] = None,
) -> None:
    """Train the embedder's adapter and the ranker on the corpus and its expansions; then rebuild the index.

    Takes some minutes on two cores, plus the time to embed the corpus the first time.
    """
    from rich.console import Console

    from api.indexing import embedder_of
    from api.settings import CONFIGS, load_settings
    from retrieval.corpus import read_corpus
    from retrieval.embedders.adapter import AdaptedEmbedder
    from retrieval.errors import CorpusError
    from retrieval.expansions import read_expansions
    from retrieval.tokenizer import KoreanTokenizer
    from retrieval.training_data import corpus_views
    from retrieval.training_run import file_name, train

    console, settings = Console(), load_settings()
    corpus = read_corpus(faq or settings.path(settings.corpus.faq))
    known = read_expansions(expansions or settings.path(settings.corpus.expansions))
    embedder = embedder_of(settings)
    base = embedder.inner if isinstance(embedder, AdaptedEmbedder) else embedder
    written = queries or CONFIGS / "ranking" / "queries.jsonl"
    if not any(faq.id in known for faq in corpus.faqs):
        raise CorpusError(corpus.source, "has no expansions.", hint="Write them with `smartstore expand`.")
    console.print(f"{len(corpus.faqs)} FAQs, embedder {base.name}")
    views = corpus_views(
        corpus,
        known,
        base,
        KoreanTokenizer(),
        cache=settings.path(settings.data_dir) / "cache" / f"{file_name(base)}.npz",
        progress=lambda step, done, total: (
            console.print(f"{step}: {done} of {total}") if done % 1024 == 0 else None
        ),
    )
    card = train(
        corpus,
        views,
        base,
        queries=read_expansions(written) if written.exists() else {},
        out=out or CONFIGS / "ranking",
        say=console.print,
    )
    console.print_json(data=card)
