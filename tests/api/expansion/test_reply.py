"""What counts as two usable queries of a model."""

from __future__ import annotations

import json

import pytest

from api.expansion.reply import BadReply, read_reply
from retrieval.corpus.faq import Faq

TITLE = "[반품] 반품 배송비는 누가 내나요?"
FAQ = Faq("0123456789ab", TITLE, "단순 변심이면 구매자가 냅니다.", ("반품",), (), TITLE)
NATURAL, SHORT = "손님 마음이 바뀌어 돌려보낼 때 택배값은 제가 내야 하나요?", "회수 운임 부담"


def reply(*queries: object) -> str:
    return json.dumps({"queries": list(queries)}, ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        reply(NATURAL, SHORT),
        f"```json\n{reply(NATURAL, SHORT)}\n```",
        f"네, 써 보겠습니다.\n{reply(NATURAL, SHORT)}\n도움이 되셨나요?",
        reply(f"  {NATURAL}\u200b ", f"{SHORT}\n"),
    ],
)
def test_reply_gives_the_natural_and_the_short_query(text: str) -> None:
    assert read_reply(text, FAQ) == (NATURAL, SHORT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSON"),
        ("1. 첫째\n2. 둘째", "JSON"),
        ('{"queries": ["반쪽', "JSON"),
        ("[" * 100_000, "JSON"),
        (reply(NATURAL), "JSON"),
        (reply(NATURAL, SHORT, SHORT), "JSON"),
        (reply(NATURAL, 3), "JSON"),
        (reply("짧아요", SHORT), "3자"),
        (reply(NATURAL, "아주 " * 20), "둘째 질문이 59자"),
        (reply("Who pays for the return shipping?", SHORT), "한국어"),
        (reply(NATURAL, "return fee"), "한국어"),
        (reply("반품 費用은 구매자가 내는 건가요?", SHORT), "한자"),
        (reply("반품 배송비는 누가 내나요", SHORT), "제목"),
        (reply(NATURAL, "반품, 반품배송비는 누가 내나요?!"), "제목"),
        (reply("회수 운임은 누구 부담", "회수운임은 누구 부담?"), "두 질문이 같습니다"),
    ],
)
def test_reply_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    with pytest.raises(BadReply) as caught:
        read_reply(text, FAQ)
    assert reason in caught.value.message
