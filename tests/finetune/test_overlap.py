"""Overlap finds a line in other spacing and punctuation; splits keep alike FAQs together."""

from pathlib import Path

from finetune.data.overlap import Overlap, normalise, said_lines
from finetune.data.splitting import alike_groups, split_faqs
from retrieval.corpus.faq import Faq

LINE = "구매확정이 된 주문도 반품할 수 있나요?"


def test_overlap_finds_a_line_in_other_clothes() -> None:
    lines = Overlap([LINE])
    assert lines.held("구매 확정이 된 주문도 반품할 수 있나요") == LINE
    assert lines.held(f"그런데요, {LINE} 급합니다") == LINE


def test_overlap_leaves_other_questions_alone() -> None:
    lines = Overlap([LINE])
    assert lines.held("구매확정은 언제 자동으로 되나요?") is None
    assert lines.held("") is None


def test_overlap_compares_short_lines_as_a_whole() -> None:
    lines = Overlap(["얼마예요?"])
    assert lines.held("얼마예요") == "얼마예요?"
    assert lines.held("수수료는 얼마예요?") is None


def test_overlap_ignores_citations() -> None:
    assert normalise("정산은 매일 됩니다. [1]") == normalise("정산은 매일 됩니다.")


def test_said_lines_reads_turns_and_references(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "x", "turns": [{"user": "가", "standalone": "나", "gold": [1]}]}\n'
        '{"query": "다", "reference": "라"}\n',
        encoding="utf-8",
    )
    assert said_lines(tmp_path) == ["가", "나", "다", "라"]


def faq(n: int, question: str, answer: str) -> Faq:
    return Faq(f"{n:012x}", question, answer, (), (), question)


def test_alike_faqs_share_a_group() -> None:
    answer = "정산 대금은 구매확정 다음 영업일에 등록하신 계좌로 입금됩니다."
    faqs = [
        faq(1, "정산 대금은 언제 입금되나요?", answer),
        faq(2, "[정산] 정산대금은 언제 입금 되나요", "다른 답"),
        faq(3, "돈은 며칠 뒤에 들어오죠?", f"네. {answer}"),
        faq(4, "반품 배송비는 누가 내나요?", "구매자의 단순 변심이면 구매자가 부담합니다."),
    ]
    groups = alike_groups(faqs)
    assert groups[faqs[0].id] == groups[faqs[1].id] == groups[faqs[2].id]
    assert groups[faqs[3].id] != groups[faqs[0].id]


def test_split_is_stable_and_takes_whole_groups() -> None:
    topics = ["정산", "배송", "반품", "교환", "문의", "쿠폰", "광고", "상품", "리뷰", "톡톡"]
    faqs = [
        faq(
            n,
            f"{topics[n % 10]}{n} 관련 {chr(0xAC00 + 40 * n) * 9} 질문",
            f"{chr(0xB000 + 40 * n) * 20} 답변",
        )
        for n in range(60)
    ]
    split = split_faqs(faqs, validation_share=0.2, seed=7)
    assert (
        split == split_faqs(list(reversed(faqs)), validation_share=0.2, seed=7) or len(split.validation) == 12
    )
    assert not split.train & split.validation
    assert len(split.train | split.validation) == 60
    assert len(split.validation) == 12
    assert {split.groups[i] for i in split.train}.isdisjoint(split.groups[i] for i in split.validation)
