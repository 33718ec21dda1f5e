"""Where a FAQ was published and when it was changed: what files say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.corpus.copies import write_corpus
from retrieval.corpus.faq import read_corpus
from retrieval.corpus.origin import read_date, read_link
from retrieval.edits.workbook import write_workbook
from retrieval.errors import CorpusError
from retrieval.index.rows import faq_from_json, faq_json

BUNDLED = Path(__file__).parents[3] / "configs" / "faq"


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02",
        "2026.3.2",
        "2026. 3. 2.",
        "2026/03/02",
        "2026년 3월 2일",
        "2026-03-02 09:30:00",
        " 2026-03-02 ",
    ],
)
def test_date_is_read_as_people_and_excel_write_it(text: str) -> None:
    assert read_date(text) == "2026-03-02"


@pytest.mark.parametrize("text", ["2026-13-02", "어제", "3월 2일", "46083"])
def test_date_that_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no day"):
        read_date(text)


@pytest.mark.parametrize("text", ["javascript:alert(1)", "shop.example/help", "https://", "https://a b"])
def test_link_that_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no http"):
        read_link(text)


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("질문,답변,링크,수정일\n가?,나.,ftp://x,\n다?,라.,,어제\n마?,바.,,\n", encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        read_corpus(path)
    assert "line 2: the link" in caught.value.reason
    assert "line 3: the date" in caught.value.reason


def test_the_bundled_workbook_and_the_cp949_file_hold_the_same() -> None:
    book, text = (read_corpus(BUNDLED / name) for name in ("shop.xlsx", "shop-cp949.csv"))
    with pytest.raises(UnicodeDecodeError):
        (BUNDLED / "shop-cp949.csv").read_text(encoding="utf-8")
    assert book.faqs == text.faqs
    assert len(book.faqs) == 12
    first = book.faqs[0]
    assert (first.link, first.date) == ("https://shop.example/help/delivery", "2026-03-02")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".xlsx"])
def test_link_and_date_survive_every_format(tmp_path: Path, suffix: str) -> None:
    corpus, path = read_corpus(BUNDLED / "shop.xlsx"), tmp_path / f"faq{suffix}"
    (write_workbook if suffix == ".xlsx" else write_corpus)(corpus, path)
    assert read_corpus(path).faqs == corpus.faqs


def test_a_stored_faq_keeps_them_and_one_without_is_stored_as_before() -> None:
    corpus = read_corpus(BUNDLED / "shop.xlsx")
    assert [faq_from_json(faq_json(faq)) for faq in corpus.faqs] == list(corpus.faqs)
    plain = next(faq for faq in corpus.faqs if not faq.link and not faq.date)
    assert faq_json(plain).endswith(f'"{plain.title}"]')
