"""Writing a corpus, and the clean copy of a crawl."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.corpus import copies
from retrieval.corpus.copies import read_clean, write_corpus
from retrieval.corpus.faq import Corpus, read_corpus
from retrieval.errors import CorpusError

ENTRIES = {
    "[상품] 그릇은\u200b 어떻게 포장하나요?": "두 번 감싸 주세요.새 상자가 좋습니다."
    "\n\n위 도움말이 도움이 되었나요?\n\n보내기\n\n관련 도움말/키워드\n\n#포장\n\n도움말 닫기",
    "영업일은 언제인가요?": "월요일부터 금요일까지입니다.",
}


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    path = tmp_path / "faq.pkl"
    path.write_bytes(pickle.dumps(ENTRIES))
    return path


def content(corpus: Corpus) -> list[object]:
    return [replace(faq, title="") for faq in corpus.faqs]


@pytest.mark.parametrize("name", ["clean.jsonl", "clean.csv"])
def test_written_corpus_is_read_as_it_was_with_its_ids(crawl: Path, tmp_path: Path, name: str) -> None:
    corpus = read_corpus(crawl)
    write_corpus(corpus, tmp_path / "out" / name)
    again = read_corpus(tmp_path / "out" / name)
    assert content(again) == content(corpus)
    assert again.fingerprint == corpus.fingerprint


def test_other_formats_are_not_written(crawl: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"Write \.jsonl or \.csv"):
        write_corpus(read_corpus(crawl), tmp_path / "faq.xlsx")


def test_crawl_is_cleaned_once(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "var" / "corpus"
    first = read_clean(crawl, folder)
    cleaned: list[str] = []
    monkeypatch.setattr("retrieval.corpus.faq.clean_answer", cleaned.append)
    again = read_clean(crawl, folder)
    assert not cleaned
    # An index is named after every field: what is read first and what is read later must not differ in any.
    assert again == first
    assert again.source == crawl


def test_copy_follows_the_crawl_and_the_cleaning(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpus"
    read_clean(crawl, folder)
    crawl.write_bytes(pickle.dumps(ENTRIES | {"새 질문인가요?": "네."}))
    assert len(read_clean(crawl, folder).faqs) == 3
    monkeypatch.setattr(copies.inspect, "getsource", lambda module: "other rules")
    read_clean(crawl, folder)
    assert len(list(folder.glob("*.jsonl"))) == 3


def test_damaged_copy_is_written_anew(crawl: Path, tmp_path: Path) -> None:
    first = read_clean(crawl, tmp_path)
    (copy,) = tmp_path.glob("*.jsonl")
    copy.write_text("{", encoding="utf-8")
    assert read_clean(crawl, tmp_path).fingerprint == first.fingerprint
    assert len(read_corpus(copy).faqs) == 2


def test_folder_that_cannot_be_written_costs_only_time(crawl: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert len(read_clean(crawl, blocked / "corpus").faqs) == 2


def test_other_files_need_no_copy(crawl: Path, tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    write_corpus(read_corpus(crawl), path)
    assert len(read_clean(path, tmp_path / "corpus").faqs) == 2
    assert not (tmp_path / "corpus").exists()
