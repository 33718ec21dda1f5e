"""Korean text to search terms: what is kept, what is dropped, spacing, threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrieval.tokenizer import KoreanTokenizer

TOKENIZER = KoreanTokenizer()


def test_tokens_are_stems_without_particles_and_endings() -> None:
    assert TOKENIZER.tokens("반품을 받으려면 주소를 등록해야 하나요?") == ("반품", "받", "주소", "등록")


@pytest.mark.parametrize("text", ["정산이 언제 되나요", "정산은 언제 됩니까?", "정산을 언제 되는지"])
def test_tokens_are_the_same_whatever_the_particle(text: str) -> None:
    assert TOKENIZER.tokens(text)[:2] == ("정산", "언제")


def test_tokens_do_not_depend_on_spaces() -> None:
    spaced, joined = "스마트스토어 정산은 언제 되나요", "스마트스토어정산은언제되나요"

    assert TOKENIZER.tokens(spaced) == TOKENIZER.tokens(joined)


def test_tokens_keep_negation() -> None:
    assert "안" in TOKENIZER.tokens("로그인이 안 돼요")


def test_tokens_keep_latin_letters_and_numbers_in_lower_case() -> None:
    found = TOKENIZER.tokens("PG 수수료 3.5%와 OTP 인증")

    assert {"pg", "otp", "수수료", "인증"} <= set(found)
    # Digits only: Milvus' analyser would split "3.5" just so.
    assert [token for token in found if token.isdigit()] == ["3", "5"]


def test_tokens_hold_letters_and_digits_only() -> None:
    for token in TOKENIZER.tokens("https://a.co/b?c=1, a@b.kr / N페이(네이버페이) A/S ※ 참고_메모 ㅋㅋ"):
        assert token.isalnum(), token


def test_tokens_of_text_without_content_are_its_words() -> None:
    assert TOKENIZER.tokens("응 그래요?") != ()
    assert TOKENIZER.tokens("?! …") == ()
    assert TOKENIZER.tokens("") == ()


def test_tokens_keep_repeats() -> None:
    assert TOKENIZER.tokens("쿠폰 쿠폰 쿠폰").count("쿠폰") == 3


def test_tokens_are_the_same_from_several_threads() -> None:
    texts = ["반품 배송비는 누가 내나요?", "미성년자도 판매할 수 있나요?", "세금계산서 발급"] * 20
    alone = [TOKENIZER.tokens(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(TOKENIZER.tokens, texts)) == alone


def test_a_question_is_split_in_milliseconds() -> None:
    TOKENIZER.tokens("준비")
    started = time.process_time()
    for _ in range(50):
        TOKENIZER.tokens("스마트스토어에서 세금계산서는 어디에서 발급하나요?")

    assert (time.process_time() - started) / 50 < 0.02


def test_many_texts_have_the_terms_that_each_has_alone() -> None:
    tokenizer = KoreanTokenizer()
    texts = [f"{n}번째 상품의 반품 택배비는 안 내나요?" for n in range(2_100)]

    assert list(tokenizer.tokens_of(texts)) == [tokenizer.tokens(text) for text in texts]
