"""Opens the search that an evaluation measures: the settings' index, or one built for the files named.

Knows where indexes lie; does not know cases or measures. Needs no server, and disturbs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.indexing.build import corpus_embedder, embedder_of
from api.indexing.corpus import open_corpus
from api.settings import Settings
from retrieval.corpus.faq import Corpus
from retrieval.index.build import build_index
from retrieval.index.opening import current_fingerprint
from retrieval.index.prepare import Progress
from retrieval.index.rows import fingerprint
from retrieval.tokenizer import KoreanTokenizer


@dataclass(frozen=True)
class Measured:
    """What is measured: the corpus and settings whose index holds it."""

    corpus: Corpus
    settings: Settings


def measured(
    settings: Settings, *, progress: Progress, faq: Path | None = None, expansions: Path | None = None
) -> Measured:
    """Finds the index of these files, or builds it under `data_dir/eval` and keeps it for the next time.

    Args:
        settings: where everything is.
        progress: told how far a build is.
        faq: another FAQ file than the settings' one.
        expansions: another file or folder of expansions.

    Raises:
        CorpusError: a file cannot be used.
        IndexUnavailable: Milvus failed.
    """
    corpus, known = open_corpus(settings, faq, expansions)
    embedder, tokenizer = embedder_of(settings), KoreanTokenizer()
    name = fingerprint(corpus.faqs, known, embedder=embedder.name, tokenizer=tokenizer.version)
    token = settings.index.token.get_secret_value()
    if current_fingerprint(settings.index_uri, token=token) == name:
        return Measured(corpus, settings)
    uri = settings.path(settings.data_dir) / "eval" / f"{name}.db"
    if current_fingerprint(str(uri)) != name:
        uri.parent.mkdir(parents=True, exist_ok=True)
        with corpus_embedder(settings) as remembering:
            build_index(corpus, known, remembering, tokenizer, str(uri), progress=progress)
    own = settings.index.model_copy(update={"uri": str(uri), "token": type(settings.index.token)("")})
    return Measured(corpus, settings.model_copy(update={"index": own}))
