"""What a seller wants of the conversation rather than of the FAQ: more of the same, or something else.

Knows how such wishes are worded; knows no search, session or event.
"""

from __future__ import annotations

import re

_MORE = re.compile(
    r"자세히|자세하게|상세히|다시\s?(?:한\s?번\s?)?(?:설명|말|알려)|쉽게|무슨\s?(?:말|뜻|소리)|이해가|예를\s?들|"
    r"나머지|(?:더|계속|이어서)\s?(?:알려|보여|말해|설명)|^더\s?(?:요|줘|없\S*)?[?.!~]*$"
)
_ADDRESS = r"(?:아니요?|아뇨|아니야|아닌데요?|노노|ㄴㄴ|음|흠|에이)?[\s,.!~…]*"
_NOT_THAT = (
    r"(?:(?:그게|그거|그건|이게|이거|이건|그런\s?거|이런\s?거|그\s?얘기|그\s?말)\s?"
    r"(?:말고|말구|아니고|아니라|아니구|아니에요|아니예요|아니야|아닌데요?|아니요|아녜요|아님|아닙니다))"
)
_OTHER = r"(?:다른\s?(?:거|것|건|답|답변|내용|FAQ)(?:는|은|도|로|을|를|좀)?)"
_ASKS = (
    r"(?:\s?(?:알려|보여|찾아|말해|설명해|해)\s?(?:줘|주세요|줄래요?|봐|달라고)?요?|"
    r"\s?없어요?|\s?있어요?|\s?있나요|\s?없나요|요)?"
)
_SOMETHING_ELSE = re.compile(
    rf"^{_ADDRESS}(?:{_NOT_THAT}[\s,.]*(?:{_OTHER})?|{_OTHER}){_ASKS}[\s?.!~ㅠㅜ]*$", re.IGNORECASE
)


def wants_more(text: str) -> bool:
    """True for `더 자세히 알려줘`, `이해가 안돼요`: the FAQ just answered is meant, and more of it."""
    return bool(_MORE.search(text))


def wants_something_else(text: str) -> bool:
    """True for `아니 그거 말고`, `다른 거 없어요?`: the last question is meant, and other FAQs for it.

    A text that names what is wanted instead (`그거 말고 환불 기간이요`) is a question of its own.
    """
    return bool(_SOMETHING_ELSE.match(text.strip()))
