"""Korean text in, search terms out: the morphemes BM25 counts.

Knows Kiwi and which parts of speech carry meaning; knows no index and no scoring.
Particles and endings are dropped because they stick to nouns in Korean (`등록이`, `등록은`) and say
nothing about the topic; Kiwi splits words that were typed without spaces by itself.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

_RULES = 2
_CONTENT = frozenset({"NNG", "NNP", "NR", "XR", "VV", "VA", "MAG", "SL", "SH", "SN", "XPN", "XSN", "W_URL"})
_WORD = re.compile(r"[^\W_]+")
_MANY = 2_000  # below, loading the model a second time costs more than it saves
_loading = threading.Lock()


class KoreanTokenizer:
    """Splits text into content morphemes; thread-safe, the Kiwi model loads on first use (seconds).

    `version` names the model and these rules: another version means other terms, so it is part of
    the index fingerprint.
    """

    def __init__(self) -> None:
        self.version = f"kiwi-{version('kiwipiepy')}-{_RULES}"

    def tokens(self, text: str) -> tuple[str, ...]:
        """Returns the search terms of `text` in order, repeats kept.

        Nouns, roots, verb and adjective stems, adverbs (`안`, `못` turn a meaning round), foreign
        words, Chinese characters and numbers; lower-cased, letters and digits only. Text without
        any of these (`요?`) yields its plain words, so that only punctuation is left without a term.
        """
        with _loading:
            kiwi = _model()
        return _terms(text, kiwi.tokenize(text))

    def tokens_of(self, texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The search terms of many texts in order, on all cores where that pays."""
        if len(texts) < _MANY:
            yield from map(self.tokens, texts)
            return
        # A model of its own: one with several threads is slower with a single text.
        for text, morphemes in zip(texts, _load(os.cpu_count() or 1).tokenize(texts), strict=True):
            yield _terms(text, morphemes)


@cache
def _model() -> Any:
    """One for the process: nothing of it differs between tokenizers."""
    return _load(1)


def _load(threads: int) -> Any:
    from kiwipiepy import Kiwi

    # Without the dictionary of multi-word names it loads in half the time and finds as much.
    return Kiwi(num_workers=threads, load_multi_dict=False)


def _terms(text: str, morphemes: Iterable[Any]) -> tuple[str, ...]:
    found: list[str] = []
    for morpheme in morphemes:
        if morpheme.tag.split("-")[0] in _CONTENT:
            found.extend(_WORD.findall(morpheme.form.lower()))
    return tuple(found) or tuple(_WORD.findall(text.lower()))
