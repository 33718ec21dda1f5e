"""The provider without a model."""

import re

import pytest

from api.conversation.checks.citations import CitationFilter
from api.providers.base import Chunk, GenerationOptions, full_answer
from api.providers.extractive import Extractive
from retrieval.corpus.faq import Faq
from retrieval.prompt import CONTINUED, NOT_FOUND, Exchange, GroundedPrompt, ground
from retrieval.quoting.citations import strip_citations
from retrieval.tokenizer import KoreanTokenizer

ANSWER = """만 14세 미만은 가입할 수 없습니다.
만 14세 이상 미성년자는 법정대리인의 동의를 받아 가입할 수 있습니다.
가입한 뒤 동의서를 제출해 주세요."""


@pytest.fixture(scope="module")
def provider() -> Extractive:
    return Extractive(KoreanTokenizer())


def _prompt(question: str, *answers: str) -> GroundedPrompt:
    faqs = [Faq(f"{n:012x}", f"안내 {n}", text, (), (), f"안내 {n}") for n, text in enumerate(answers)]
    return ground(question, faqs, system="규칙")


async def _chunks(provider: Extractive, prompt: GroundedPrompt, **options: int) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(prompt, GenerationOptions(**options))]


def test_extractive_declares_what_it_is(provider: Extractive) -> None:
    assert (provider.name, provider.llm, provider.third_party) == ("extractive", False, False)
    assert provider.model


async def test_extractive_streams_block_by_block(provider: Extractive) -> None:
    texts = [chunk.text for chunk in await _chunks(provider, _prompt("미성년자 가입 되나요?", ANSWER))]
    assert texts[0] == "만 14세 미만은 가입할 수 없습니다. [1]"
    assert len([text for text in texts if text]) == 3


async def test_extractive_says_only_what_the_faq_says(provider: Extractive) -> None:
    text, _ = await full_answer(
        provider.stream(_prompt("미성년자 가입 되나요?", ANSWER), GenerationOptions())
    )
    assert strip_citations(text) == ANSWER


async def test_extractive_cites_given_passages_only(provider: Extractive) -> None:
    prompt = _prompt("가입 서류와 정산일", ANSWER, "정산일은 구매확정 다음 날입니다.")
    text, _ = await full_answer(provider.stream(prompt, GenerationOptions()))
    check = CitationFilter(2)
    assert check.feed(text) + check.flush() == text
    assert check.dropped == 0
    assert check.cited[0] == 1


async def test_extractive_uses_the_standalone_question(provider: Extractive) -> None:
    answer = (
        "등록은 [상품관리]에서 합니다.\n"
        + "배송은 이틀 걸립니다.\n교환은 7일 안에 됩니다.\n"
        + "안내 문장입니다. " * 25
    )
    faq = Faq("0" * 12, "안내", answer, (), (), "안내")
    prompt = ground("그건요?", [faq], system="규칙", standalone="교환은 며칠 안에 되나요?")
    text, _ = await full_answer(provider.stream(prompt, GenerationOptions()))
    assert "교환은 7일 안에 됩니다." in text


async def test_extractive_goes_on_where_the_answer_before_ended(provider: Extractive) -> None:
    faq = Faq("0" * 12, "안내", "\n".join(f"{n}번째 안내 문장입니다." for n in range(60)), (), (), "안내")
    first, _ = await full_answer(provider.stream(ground("안내", [faq], system="규칙"), GenerationOptions()))
    prompt = ground("더 자세히", [faq], system="규칙", history=[Exchange("안내", first)], detail=True)
    more, _ = await full_answer(provider.stream(prompt, GenerationOptions()))
    assert more.startswith(CONTINUED)
    assert not set(re.findall(r"\d+번째", first)) & set(re.findall(r"\d+번째", more))


async def test_extractive_without_passages_says_that_nothing_was_found(provider: Extractive) -> None:
    text, _ = await full_answer(provider.stream(_prompt("아무거나"), GenerationOptions()))
    assert text == NOT_FOUND


async def test_extractive_keeps_whole_blocks_within_max_tokens(provider: Extractive) -> None:
    chunks = await _chunks(provider, _prompt("미성년자 가입 되나요?", ANSWER), max_tokens=5)
    assert [chunk.text for chunk in chunks if chunk.text] == ["만 14세 미만은 가입할 수 없습니다. [1]"]


async def test_extractive_reports_an_estimated_usage_last(provider: Extractive) -> None:
    *others, last = await _chunks(provider, _prompt("미성년자 가입 되나요?", ANSWER))
    assert last.usage is not None
    assert last.usage.estimated
    assert last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in others)
