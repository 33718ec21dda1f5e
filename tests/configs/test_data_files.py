"""The data files under configs/: sample FAQ, expansions and scope training lines hold what readers expect.

Knows the files' formats and the FAQ id formula; does not know how they are indexed or trained on.
"""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from retrieval.corpus.faq import faq_id

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
EVAL = ROOT.parent / "shared" / "eval"
MINIMUM_LINES = {"off_topic": 420, "unanswerable": 320, "injection": 260, "in_scope": 350}


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def letters(text: str) -> str:
    """Text without case, spaces and punctuation, so that near copies compare equal."""
    kept = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
    return kept or text


FAQS = read_lines(CONFIGS / "faq/sample.jsonl")
SAMPLE = read_lines(CONFIGS / "expansions/sample.jsonl")
SMARTSTORE = read_lines(CONFIGS / "expansions/smartstore.jsonl")
SCOPE = read_lines(CONFIGS / "scope/train.jsonl")


def repeated(texts: list[str]) -> list[str]:
    return [text for text, count in Counter(letters(text) for text in texts).items() if count > 1]


def test_sample_faq_has_at_least_160_entries_with_the_four_fields() -> None:
    assert len(FAQS) >= 160
    assert all(set(faq) == {"question", "answer", "categories", "related"} for faq in FAQS)


def test_sample_faq_questions_are_unique() -> None:
    assert repeated([faq["question"] for faq in FAQS]) == []


def test_sample_faq_answers_are_80_to_400_characters() -> None:
    assert [faq["question"] for faq in FAQS if not 80 <= len(faq["answer"]) <= 400] == []


def test_sample_faq_has_one_or_two_categories() -> None:
    assert [faq["question"] for faq in FAQS if not 1 <= len(set(faq["categories"])) <= 2] == []


def test_sample_faq_related_questions_exist_and_are_others() -> None:
    questions = {faq["question"] for faq in FAQS}
    for faq in FAQS:
        related = faq["related"]
        assert len(related) == len(set(related)) <= 3
        assert set(related) <= questions - {faq["question"]}


def test_sample_faq_covers_minors_on_both_sides_of_14() -> None:
    minors = [faq for faq in FAQS if "만 14세" in faq["question"] + faq["answer"]]
    assert any("이상" in faq["question"] for faq in minors)
    assert any("미만" in faq["question"] for faq in minors)
    assert any("법정대리인" in faq["answer"] for faq in minors)


def test_sample_expansions_name_each_faq_once_in_order() -> None:
    assert [row["id"] for row in SAMPLE] == [faq_id(faq["question"]) for faq in FAQS]


def test_sample_expansions_are_two_new_ways_of_asking() -> None:
    assert all(len(row["queries"]) == 2 for row in SAMPLE)
    queries = [query for row in SAMPLE for query in row["queries"]]
    assert repeated(queries + [faq["question"] for faq in FAQS]) == []


@pytest.mark.parametrize("rows", [SAMPLE, SMARTSTORE], ids=["sample", "smartstore"])
def test_expansions_hold_only_ids_and_queries(rows: list[dict[str, Any]]) -> None:
    assert all(set(row) == {"id", "queries"} for row in rows)
    assert all(query.strip() for row in rows for query in row["queries"])
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(len(bytes.fromhex(row["id"])) == 6 for row in rows)


def test_smartstore_expansions_cover_the_corpus_twice() -> None:
    assert len(SMARTSTORE) == 2717
    assert all(len(row["queries"]) >= 2 for row in SMARTSTORE)


def test_scope_lines_have_text_label_and_style() -> None:
    assert all(set(line) == {"text", "label", "style"} for line in SCOPE)
    assert all(line["text"].strip() and line["style"].strip() for line in SCOPE)
    assert {line["label"] for line in SCOPE} == set(MINIMUM_LINES)


@pytest.mark.parametrize(("label", "minimum"), MINIMUM_LINES.items())
def test_scope_lines_reach_the_minimum_per_label(label: str, minimum: int) -> None:
    assert sum(line["label"] == label for line in SCOPE) >= minimum


def test_scope_lines_are_unique_across_labels() -> None:
    assert repeated([line["text"] for line in SCOPE]) == []


@pytest.mark.real
@pytest.mark.skipif(not EVAL.is_dir(), reason="no ../shared/eval beside this checkout")
def test_no_training_text_repeats_an_evaluation_query() -> None:
    cases = [case for path in EVAL.glob("*.jsonl") for case in read_lines(path)]
    turns = [turn for case in cases for turn in case.get("turns", [])]
    asked = {letters(case[key]) for case in cases for key in ("query", "text") if key in case}
    asked |= {letters(turn[key]) for turn in turns for key in ("user", "standalone") if turn.get(key)}
    assert len(asked) > 100
    written = [line["text"] for line in SCOPE]
    written += [query for row in SAMPLE + SMARTSTORE for query in row["queries"]]
    assert [text for text in written if letters(text) in asked] == []
