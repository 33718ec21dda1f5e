"""Words a FAQ's title as an offer: `…안내해드릴까요?`, `…궁금하신가요?`.

Knows Korean sentence endings and particles; knows no search, session or index. A question becomes an
indirect one (`가능한가요?`, `가능한지`), a statement is quoted, a noun phrase takes its particle.
"""

from __future__ import annotations

import re

from retrieval.corpus.faq import Faq

_MARKS = re.compile(r"^[★☆※▶\s]+")
_ASIDE = re.compile(r"\s*[(\[](?:온라인\s?교육\s?제공|NEW|new|신규)[)\]]\s*")
_TAIL = re.compile(r"(?<=[?.])\s*\([^()]*\)$")
_SENTENCE = re.compile(r"(?<=[요다까죠][?!.])\s+|(?<=[?!])\s+(?=\S)")
_QUOTES = str.maketrans("‘’“”", "''''")
_GENERAL = frozenset({"공통", "기타"})
_GUIDE, _CURIOUS = "안내해드릴까요?", "궁금하신가요?"
_HOW = re.compile(r"어떻게|어디|방법|언제|절차|어떤\s?식|며칠|얼마나")
_NOUN_HOW = re.compile(
    r"^(?P<what>.*[가-힣A-Za-z0-9)\]'’\"”])(?:은|는|을|를)\s*어떻게\s*(?:진행)?(?:하|해야\s?하|하면\s?되)나요$"
)
_STEM = r"(?<=[가-힣])"
_EITHER = re.compile(r"(?:되요|돼요|해요|있어요|없어요|인가|는가|나|죠)$")
_ASKS = re.compile(r"\?$|어떻게|왜|언제|어디|뭐|무엇|누가|누구|몇|얼마|어떤")
_INDIRECT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern + r"$"), replacement)
    for pattern, replacement in (
        (r"(?:이\s?)?(?:뭔가요|뭐예요|뭐에요|뭔지요|뭐죠)", "뭔지"),
        (r"(?P<s>[가-힣])인가\s?요", r"\g<s>인지"),
        (r"\s인가\s?요", "인지"),
        (_STEM + r"가요", "지"),
        (_STEM + r"나요", "는지"),
        (_STEM + r"까요", "지"),
        (r"(?:되|돼)요", "되는지"),
        (r"해요", "하는지"),
        (r"있어요", "있는지"),
        (r"없어요", "없는지"),
        (r"인가", "인지"),
        (_STEM + r"는가", "는지"),
        (_STEM + r"나", "는지"),
        (r"있습니까", "있는지"),
        (r"없습니까", "없는지"),
        (r"입니까", "인지"),
        (r"됩니까", "되는지"),
        (r"합니까", "하는지"),
        (r"(?P<s>[가-힣A-Za-z0-9)\]'’\"”])\s?(?P<j>이?란)", r"\g<s>\g<j> 무엇인지"),
        (r"인지요", "인지"),
        (_STEM + r"는지요", "는지"),
        (_STEM + r"죠", "는지"),
    )
)
_WISH = re.compile(
    r"(?:을|를)?\s*(?:알고|확인하고)\s?(?:싶어요|싶습니다|싶은데요)$|(?:을|를)\s*(?:간단하게|간단히|자세히)?\s*알려\s?주세요$"
)
_WANTS = re.compile(r"(?P<verb>\S+고)\s?(?:싶어요|싶습니다|싶은데요|싶은데)$")
_CURIOUS_END = re.compile(r"(?P<what>.*?)(?P<josa>이|가|은|는)?\s*궁금(?:해요|합니다|해여)$")
_STATEMENT = re.compile(
    r"(?:습니다|입니다|니다|어요|아요|에요|예요|해요|돼요|되요|워요|려요|와요|져요|셔요|네요|데요|래요|대요|됨|함|음|요|다)$"
)
_ENQUIRY = re.compile(r"\s*(?:관련\s*)?문의(?:드립니다|합니다)?$")


def offer_text(faq: Faq, *, topic: str = "") -> str:
    """The title of `faq` as an offer.

    Args:
        faq: what is offered.
        topic: the tag the conversation is about; a tag that says nothing new is left out.
    """
    body = _plain(faq.body_question)
    tags = [tag for tag in faq.categories if tag not in _GENERAL] if faq.body_question != faq.question else []
    tag = tags[-1] if tags else ""
    known = not tag or tag == topic or _squeezed(tag) in _squeezed(body)
    return _offer(body) if known else f"[{tag}] {_offer(body)}"


def _plain(title: str) -> str:
    return _TAIL.sub("", _MARKS.sub("", _ASIDE.sub(" ", title)).strip())


def _offer(body: str) -> str:
    sentences = [part for part in (part.strip(" .!") for part in _SENTENCE.split(body)) if part.strip("?")]
    if not sentences:
        return f"{body} {_GUIDE}"
    if len(sentences) == 1 and (wish := _wished(sentences[0])):
        return wish
    indirect = [_indirect(sentence) for sentence in sentences]
    if all(indirect):
        return _asked([text for text in indirect if text])
    if len(sentences) > 1 and (last := indirect[-1]) and not any(indirect[:-1]):
        case = "" if last.startswith("왜") else "이런 경우 "
        return f"“{_unquoted('. '.join(sentences[:-1]))}” {case}{last} {_ending(last)}"
    return _stated(sentences[0] if len(sentences) == 1 else body)


def _asked(clauses: list[str]) -> str:
    if len(clauses) == 1 and (match := _NOUN_HOW.match(clauses[0].removesuffix("는지") + "나요")):
        what = match["what"]
        return f"{what} 방법을 {_GUIDE}" if not what.endswith(("방법", "법")) else f"{what}을 {_GUIDE}"
    joined = ", ".join(clauses)
    return f"{joined} {_ending(joined)}"


def _wished(sentence: str) -> str | None:
    """`…이 궁금해요`, `…을 알고 싶어요`, `…고 싶어요`, `… 문의`; None for anything else."""
    if match := _CURIOUS_END.match(sentence):
        return f"{match['what']}{match['josa'] or ''} {_CURIOUS}"
    if (match := _WISH.search(sentence)) and match.start():
        what = sentence[: match.start()]
        return f"{what}{object_particle(what)} {_GUIDE}"
    if match := _WANTS.search(sentence):
        return f"{sentence[: match.end('verb')]} 싶으시다면 방법을 {_GUIDE}"
    if (match := _ENQUIRY.search(sentence)) and match.start():
        return f"{sentence[: match.start()]}에 대해 {_GUIDE}"
    return None


def _stated(sentence: str) -> str:
    if _STATEMENT.search(sentence.rstrip(" .?!'\"’”")):
        return f"“{_unquoted(sentence)}” 이런 경우 어떻게 하면 되는지 {_GUIDE}"
    what = sentence.rstrip("?").removesuffix("안내").rstrip() or sentence
    return f"{what}{object_particle(what)} {_GUIDE}"


def _indirect(sentence: str) -> str | None:
    """`…하나요` as `…하는지`; None for what is no question."""
    text = sentence.rstrip("?'\"’” ")
    if _EITHER.search(text) and not text.endswith(("인가요", "나요")) and not _ASKS.search(sentence):
        return None
    for pattern, replacement in _INDIRECT:
        if pattern.search(text):
            return pattern.sub(replacement, text)
    return None


def _ending(clause: str) -> str:
    return _GUIDE if _HOW.search(clause) else _CURIOUS


def object_particle(word: str) -> str:
    """`을` or `를`, by the last sound of `word`."""
    for letter in reversed(re.sub(r"\([^()]*\)$", "", word)):
        if "가" <= letter <= "힣":
            return "을" if (ord(letter) - ord("가")) % 28 else "를"
        if letter.isdigit():
            return "을" if letter in "013678" else "를"
        if letter.isalpha():
            return "을" if letter.lower() in "lmnr" else "를"
    return "를"


def _unquoted(text: str) -> str:
    return text.translate(_QUOTES).strip(" .")


def _squeezed(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()
