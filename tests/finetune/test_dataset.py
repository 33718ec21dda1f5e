"""Training data: prompts byte-equal to run time, nothing leaks, answers are grounded."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.config import Config
from finetune.data.encoding import read_examples
from finetune.data.examples import Example
from finetune.data.overlap import Overlap, normalise, said_lines
from finetune.dataset import SIDES, Dataset, build, of_one_faq, said, write
from retrieval.corpus.faq import read_corpus
from retrieval.prompt import NOT_FOUND, REFUSAL, Exchange, ground, load_system_prompt
from tests.finetune.conftest import ROOT, tiny_config

EVAL = ROOT.parent / "shared" / "eval"
MIX = {
    "grounded": 3, "not_found": 0.3, "multi_turn": 0.3, "followup": 0.3,
    "off_topic": 0.1, "unanswerable": 0.1,
}  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Dataset]:
    folder = tmp_path_factory.mktemp("dataset")
    avoid = folder / "avoid"
    avoid.mkdir()
    # One way of asking for the 6th FAQ is in the evaluation set.
    sixth = read_corpus(ROOT / "configs" / "faq" / "sample.jsonl").faqs[5]
    (avoid / "eval.jsonl").write_text(
        json.dumps({"query": f"{sixth.body_question} 알려 주세요"}, ensure_ascii=False), encoding="utf-8"
    )
    data = {"limit": 40, "passages": 4, "validation_share": 0.2, "mix": MIX, "avoid": str(avoid)}
    _, config = tiny_config(folder, {"data": data})
    return config, build(config)


def every(dataset: Dataset) -> list[Example]:
    return [example for side in SIDES for example in dataset.examples[side]]


def parsed(example: Example) -> tuple[list[tuple[str, str]], str]:
    """Titles and answers of the passages, and the question, read back from the prompt's text."""
    body, _, question = example.messages[-2]["content"].rpartition("\n</faq>\n\n질문: ")
    blocks = re.split(r"(?:^|\n\n)\[\d+\] ", body.removeprefix("<faq>\n"))[1:]
    return [tuple(block.split("\n", 1)) for block in blocks], question  # type: ignore[misc]


def test_dataset_has_every_kind_on_both_sides(made: tuple[Config, Dataset]) -> None:
    for side in SIDES:
        kinds = Counter(example.kind for example in made[1].examples[side])
        assert set(kinds) == set(MIX), side
        assert kinds["grounded"] > kinds["not_found"] > 0


def test_dataset_prompts_are_byte_equal_to_run_time(made: tuple[Config, Dataset]) -> None:
    corpus = read_corpus(made[0].data.faq)
    by_title = {faq.question: faq for faq in corpus.faqs}
    system = load_system_prompt()
    for example in every(made[1]):
        passages, question = parsed(example)
        turns = example.messages[1:-2]
        history = [Exchange(turns[n]["content"], turns[n + 1]["content"]) for n in range(0, len(turns), 2)]
        faqs = [by_title[title] for title, _ in passages]
        prompt = ground("무엇이든", faqs, system=system, history=history, standalone=question)
        expected = json.dumps(prompt.messages(), ensure_ascii=False).encode()
        assert json.dumps(list(example.messages[:-1]), ensure_ascii=False).encode() == expected


def test_dataset_answers_cite_the_gold_and_quote_it(made: tuple[Config, Dataset]) -> None:
    corpus = read_corpus(made[0].data.faq)
    places = Counter[int]()
    for example in every(made[1]):
        if example.kind not in ("grounded", "multi_turn", "followup"):
            continue
        gold = corpus.by_id[example.faq_id]
        titles = [title for title, _ in parsed(example)[0]]
        cited = {int(n) for n in re.findall(r"\[(\d+)\]", example.answer)}
        assert cited == {titles.index(gold.question) + 1}
        places.update(cited)
        numbers = set(re.findall(r"\d+", re.sub(r"\[\d+\]|^\d+\) ", "", example.answer, flags=re.M)))
        assert numbers <= set(re.findall(r"\d+", gold.question + gold.answer))
    assert len(places) == 4
    assert places[1] > places[4]


def test_dataset_absent_gold_is_really_absent(made: tuple[Config, Dataset]) -> None:
    corpus = read_corpus(made[0].data.faq)
    found = [example for example in every(made[1]) if example.kind == "not_found"]
    for example in found:
        assert example.answer == NOT_FOUND
        assert corpus.by_id[example.faq_id].question not in example.messages[-2]["content"]
    assert {e.answer for e in every(made[1]) if e.kind == "off_topic"} == {REFUSAL}


def test_dataset_asks_only_what_one_faq_answers() -> None:
    ways = {"a": ("교환 되나", "언제 줘요"), "b": ("언제 줘요",)}
    assert of_one_faq(ways) == {"a": ("교환 되나",), "b": ()}


def test_dataset_training_never_sees_a_validation_faq(made: tuple[Config, Dataset]) -> None:
    config, dataset = made
    corpus = read_corpus(config.data.faq)
    held_out = [corpus.by_id[id] for id in dataset.split.validation]
    assert len(held_out) == 8
    text = "\n".join(m["content"] for e in dataset.examples["train"] for m in e.messages[1:])
    for faq in held_out:
        assert faq.question not in text
        assert normalise(faq.answer) not in normalise(text)
    said_there = Overlap(line for e in dataset.examples["validation"] for line in said(e))
    for example in dataset.examples["train"]:
        assert not any(said_there.held(line) for line in said(example))


def test_dataset_leaves_out_lines_of_the_evaluation(made: tuple[Config, Dataset]) -> None:
    config, dataset = made
    assert config.data.avoid is not None
    lines = Overlap(said_lines(config.data.avoid))
    assert dataset.dropped["said in an evaluation set"] > 0
    assert not [e for e in every(dataset) if any(lines.held(line) for line in said(e))]


@pytest.mark.real
@pytest.mark.skipif(not EVAL.is_dir(), reason="needs ../shared/eval")
def test_dataset_holds_no_line_of_the_real_evaluation(made: tuple[Config, Dataset]) -> None:
    texts = {normalise(text) for text in said_lines(EVAL)}
    lines = Overlap(said_lines(EVAL))
    assert len(lines) > 300
    for example in every(made[1]):
        if example.kind in ("off_topic", "unanswerable"):
            assert not any(normalise(text) in texts for text in said(example))


def test_dataset_is_reproducible_and_has_no_duplicates(made: tuple[Config, Dataset]) -> None:
    config, dataset = made
    again = build(config)
    assert again.examples == dataset.examples
    for side in SIDES:
        keys = [json.dumps(e.messages, ensure_ascii=False) for e in dataset.examples[side]]
        assert len(keys) == len(set(keys))


def test_dataset_files_and_card_agree(made: tuple[Config, Dataset]) -> None:
    config, dataset = made
    card = write(dataset, config)
    on_disk = json.loads((config.data.folder / "card.json").read_text(encoding="utf-8"))
    assert on_disk == card
    for side in SIDES:
        rows = read_examples(config.data.folder / f"{side}.jsonl")
        assert [list(e.messages) for e in dataset.examples[side]] == rows
        assert sum(card["examples"][side].values()) == len(rows)
    changed = dataset.examples["train"][0]
    changed = replace(
        changed, messages=(*changed.messages[:-1], {"role": "assistant", "content": "다름 [1]"})
    )
    other = replace(
        dataset, examples={**dataset.examples, "train": [changed, *dataset.examples["train"][1:]]}
    )
    assert write(other, config)["data_hash"] != card["data_hash"]


def test_dataset_command_names_a_missing_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from finetune.dataset import main

    path, _ = tiny_config(tmp_path, {"data": {"faq": str(tmp_path / "없음.jsonl")}})
    assert main(["--config", str(path)]) == 1
    assert "없음.jsonl" in capsys.readouterr().err
