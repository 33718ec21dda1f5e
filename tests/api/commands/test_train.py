"""What `smartstore train-ranker --cases` learns from."""

import json
from pathlib import Path

from api.commands.train import labelled_questions
from retrieval.corpus.faq import Corpus, faq_id, read_corpus

SAMPLE = Path(__file__).parents[3] / "configs" / "faq" / "sample.jsonl"


def _write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_labelled_questions_are_those_of_the_corpus_each_once(tmp_path: Path) -> None:
    corpus: Corpus = read_corpus(SAMPLE)
    title = corpus.faqs[0].question
    gold = [title, "없는 FAQ"]
    plain = _write(tmp_path / "a.jsonl", {"id": "1", "query": "돈 언제 줘요", "gold_questions": gold})
    scope = _write(
        tmp_path / "b.jsonl",
        {"id": "1", "text": "돈 언제 줘요", "label": "in_scope", "gold_questions": [title]},
        {"id": "2", "text": "답이 없는 말", "label": "in_scope", "gold_questions": ["없는 FAQ"]},
        {"id": "3", "text": "오늘 날씨", "label": "off_topic"},
    )
    assert labelled_questions([plain, scope], corpus) == [("돈 언제 줘요", (faq_id(title),))]
