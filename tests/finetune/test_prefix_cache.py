"""The prefix cache simulation, on cases whose answer is known, and on prompts as they are laid out."""

import pytest

from finetune.judging.prefix_cache import as_text, compare, naive_messages, reusable_share, rough_tokens
from retrieval.corpus.faq import read_corpus
from retrieval.prompt import Exchange, ground, load_system_prompt
from tests.finetune.conftest import ROOT


def test_reusable_share_counts_whole_blocks_behind_the_same_prefix() -> None:
    a = list(range(40))
    assert reusable_share([a, a], block=16) == pytest.approx(32 / 80)
    assert reusable_share([a, [99, *a[1:]]], block=16) == 0
    assert reusable_share([a, [*a[:16], 99, *a[17:]]], block=16) == pytest.approx(16 / 80)
    assert reusable_share([]) == 0


def test_naive_messages_say_the_same_in_another_order() -> None:
    faqs = read_corpus(ROOT / "configs" / "faq" / "sample.jsonl").faqs[:2]
    history = (Exchange("가입은요?", "됩니다. [1]"),)
    prompt = ground("비용은요?", faqs, system="지시문", history=history, standalone="가입 비용은요?")
    ours = "".join(message["content"] for message in prompt.messages())
    naive = naive_messages(prompt)[0]["content"]
    assert naive.startswith("<faq>")
    assert naive.endswith("지시문\n\n질문: 가입 비용은요?")
    assert sorted(ours.replace("\n", "")) == sorted(naive.replace("\n", ""))


def test_layout_reuses_twice_as_much_as_the_naive_one() -> None:
    faqs = read_corpus(ROOT / "configs" / "faq" / "sample.jsonl").faqs
    system = load_system_prompt()
    prompts = []
    for start in range(0, 60, 4):
        history: tuple[Exchange, ...] = ()
        for turn in range(3):
            asked = faqs[start + turn].body_question
            prompts.append(
                ground(asked, faqs[start + turn : start + turn + 4], system=system, history=history)
            )
            history = (*history, Exchange(asked, faqs[start + turn].answer))
    found = compare(prompts, rough_tokens)
    assert found["reusable_share"] > 0.3
    assert found["ratio"] >= 2


def test_as_text_is_what_qwens_template_renders() -> None:
    messages = ground("질문", [], system="지시").messages()
    assert as_text(messages).startswith("<|im_start|>system\n지시<|im_end|>\n<|im_start|>user\n<faq>")
    assert as_text(messages).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
