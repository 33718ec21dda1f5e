"""Recognises orders to the assistant in what should be a question: plain, disguised or encoded.

Knows phrasings and disguises (spacing, reversal, rot13, base64, hex, URL encoding); knows no retrieval,
no weights and no FAQ. It is the strict half of the defence: what it misses the classifier of
`retrieval.scope.classifier` may still see. The categories follow OWASP LLM01, https://genai.owasp.org/llmrisk/llm01/.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from retrieval.characters import plain

_LIMIT = 4_000
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x)?[0-9a-fA-F]{2}[\s,:]*){8,}")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}){3,}")
_UNICODE = re.compile(r"(?:\\u[0-9a-fA-F]{4}|&#x?[0-9a-fA-F]+;){3,}")
_HANGUL = re.compile(r"[가-힣]{2,}")
_WORDS = re.compile(r"[A-Za-z]{2,}(?:\s+[A-Za-z]{2,})+")
_SQUEEZE = re.compile(r"[\s.\-_*·~|/\\]+")

_STRICT = r"(?:지시|지침|명령|프롬프트|안내문|안전장치|인스트럭션|시스템메시지|시스템설정)"
_RULES = r"(?:지시|지침|명령|프롬프트|안내문|안전장치|인스트럭션|시스템메시지|규칙|원칙|제약|제한|필터|정책)"
_VOID = (
    r"(?:무시|잊|까먹|지워|지우고|삭제|폐지|해제|어기|어겨|따르지|버려|버리|초기화|리셋|무효|끄고|꺼|벗어|없던|"
    r"취소하고|취소야|폐기|제쳐)"
)
_YOURS = r"(?:너의|너한테|너에게|너를|네가|네(?!이버|요|,)|니가|당신의|당신에게|당신이|챗봇의|봇의)"
_SHOW = (
    r"(?:보여|출력|공개|알려|말해|말하|읊|적어|써|복사|번역|요약|나열|노출|그대로|원문|전문|토씨|뭐야|뭐니|무엇|내놔|"
    r"불러|노래|인코딩|붙여|바꿔|바꾸|따라|유출|드러|까봐|반복)"
)
_SQUEEZED = re.compile(
    "|".join(
        (
            # orders declared void
            rf"(?:이전|앞선|앞에|앞의|앞서|위의|위에|지금까지|기존|모든|받은|여태|원래|아까|내장|설정된)[^?]{{0,14}}{_STRICT}"
            rf"[^?]{{0,12}}{_VOID}",
            r"(?:지금까지의|이전의|모든)규칙[^?]{0,8}(?:취소|무시|폐기|잊)",
            rf"{_YOURS}[^?]{{0,10}}{_RULES}[^?]{{0,12}}{_VOID}",
            r"(?:이전|앞|기존|모든|위)(?:의|선|에서)?(?:대화|내용|말|얘기)[^?]{0,10}(?:무시|잊)(?:해|하고|고|어)",
            rf"(?:{_STRICT}|규칙)(?:을|를|은|는|이|가)?(?:전부|모두|다|싹|깡그리)?(?:무시|잊고|잊어|어기고)",
            r"규칙(?:이)?없는(?:ai|봇|모드|상태|챗봇)|제한(?:이)?없는(?:ai|봇|모드|상태)|무제한모드|탈옥(?:모드|해|시)|jailbreak|"
            r"개발자모드|디버그모드|관리자모드로|developermode|debugmode|godmode|danmode|제한(?:이|은)?(?:모두|전부)?해제되었",
            # the assistant's own instructions
            rf"(?:시스템|초기|숨은|숨겨진|내부|원본|최초|비밀)(?:의|로)?(?:프롬프트|지침|지시|명령|인스트럭션|규칙)[^?]{{0,24}}"
            rf"(?:{_SHOW}|털어|넘겨|표시)",
            rf"{_YOURS}(?:시스템|초기|내부)메시지[^?]{{0,20}}{_SHOW}|자기시스템메시지",
            r"(?:시스템|system)(?:프롬프트|prompt)|systemmessage|프롬프트(?:를|을|가|에|뭐|보여|출력|공개|내용|원문|전문|전체|좀)",
            rf"{_YOURS}(?:따르는|받은|지키는|가진|적용되는|적용된|답변|설정된|갖고있는|진짜|실제|비밀|원래|안의|옛|내부|처음)*"
            rf"{_RULES}[^?]{{0,20}}(?:{_SHOW}|채워|풀어)",
            r"너(?:의|한테|에게)?[^?]{0,8}(?:적힌|주어진|입력된|걸린)[^?]{0,6}(?:지침|규칙|명령|지시|제한)",
            # a new role, new rules, a forced beginning
            r"(?:너는|넌|당신은|네가|니가)(?:이제|지금|오늘)(?:부터)?[^?]{2,40}(?:이야|이다|역할|척|처럼|봇|답게|가되|캐릭터|연기)",
            r"너는[^?]{0,12}규칙(?:이)?없",
            r"(?:이제부터|지금부터|오늘부로)(?:너는|넌|당신은|내말만|네규칙|(?:모든|내)(?:답|대답|질문|규칙|지시|명령))",
            r"(?:새|새로운|수정된)(?:지침|지시|명령|시스템지시)(?:#|:|이다|입니다|을따|를따|적용|끝|시작|\])",
            r"['\"’”](?:로|으로|라고)(?:만)?시작(?:해|하)|무조건['\"‘“][^'\"’”]{1,40}['\"’”](?:라고|이라고|로|으로)",
            r"모르(?:면|는)[^?]{0,16}(?:지어내|아는척)|아무거나지어|지어내서(?:라도)?(?:자신|답|말)|faq(?:는|를|은)?(?:무시하|보지말)",
            r"(?:안전|보안)(?:정책|필터|장치|규칙)(?:을|를|은)?(?:전부|모두|모든)?(?:비활성|해제|끄|꺼|무시|풀)",
            r"(?:규칙|지침|제약)(?:따위|없이|을버리고)[^?]{0,12}(?:대답|답|말|행동|알려)",
            # addressed to the machine, false authority
            r"(?:챗봇|ai|에이아이|인공지능|어시스턴트|봇|교정기|번역기|모델|llm|gpt)(?:에게|한테|는보아라|보아라|전용)[^?]{0,3}[:：]",
            r"(?:챗봇|ai|어시스턴트|봇)(?:에게|한테|님께)(?:하는|전하는|만|내리는)?(?:지시|명령)",
            r"(?:관리자|개발자|운영자|엔지니어|본사|보안팀)(?:인증|권한|비밀번호|암호|코드)?[^?]{0,12}"
            r"(?:인증완료|승인완료|모드진입|권한으로(?:명령|실행|출력))",
            r"(?:디코딩|복호화|해독|decode)[^?]{0,14}(?:시키는|따르|따라|실행|수행|그대로|해줘|해서|답)",
            r"(?:남의|다른사람|타인|경쟁사|경쟁업체|옆집|다른판매자)[^?]{0,10}(?:비밀번호|비번|주민번호|계좌번호)[^?]{0,16}"
            r"(?:알아내|알려줘|알려달|조회해|뽑아|내놔|빼내|훔|해킹|보여줘)",
            r"해킹(?:툴|프로그램|하는법)|피싱(?:페이지|사이트|메일)[^?]{0,10}(?:만들|코드|작성)|환경변수[^?]{0,14}(?:key|키|출력)",
            r"(?:api|에이피아이)_?(?:key|키)(?:를|값|좀|랑)[^?]{0,8}(?:말해|보여|뭐니|뭐야)",
        )
    ),
    re.IGNORECASE,
)
_PLAIN = re.compile(
    "|".join(
        (
            r"\b(?:ignore|disregard|forget|override|bypass|discard)\b.{0,40}\b(?:instruction|prompt|"
            r"rule|previous|prior|above|guideline|system|earlier|everything)",
            r"\b(?:reveal|print|show|output|repeat|recite|display|dump|leak|translate|give|"
            r"tell)\b.{0,40}\b(?:system|initial|hidden|your|original|internal|real)\b.{0,16}"
            r"\b(?:prompt|instruction|message|rule|guideline|config\w*)",
            r"\b(?:you are now|from now on,? you|pretend (?:to be|you)|act as (?:a|an|if)|"
            r"developer mode|do anything now|"
            r"no restrictions|unrestricted|without (?:any )?(?:filter|restriction)s?)\b",
            r"\b(?:answer|reply|respond) (?:only )?(?:from|using|with) your (?:own )?(?:memory|knowledge)",
            r"<\|?\s*/?\s*(?:system|im_start|im_end|assistant|admin|inst|sys)\b|"
            r"\[/?(?:system|inst|admin|sys|시스템|개발자|관리자)\b|<</?sys|"
            r"(?:^|\n)\s*(?:system|assistant|developer|시스템|어시스턴트)\s*[:：]",
            r"(?:^|\n)\s*#{2,}\s*(?:새|system|instruction|지침|지시|규칙|override|new)",
            r"\b(?:oubliez?|ignorez?|oublie)\b.{0,40}\b(?:consignes|instructions|règles|précédent)|"
            r"prompt syst[eè]me",
            r"\b(?:olvida|ignora|omite|imprime|muestra|revela)\b.{0,40}"
            r"(?:instruccion|reglas|sistema|configuraci|prompt|indicaciones)",
            r"\b(?:vergiss|ignoriere?|zeig\w*|gib)\b.{0,40}(?:anweisung|regeln|system\w*|prompt|"
            r"vorgaben|befehle)",
            r"(?:指示|命令|ルール|プロンプト|設定|制限).{0,24}(?:無視|忘れ|表示|見せ|教え|出力|解除)|システムプロンプト",
            r"(?:忽略|无视|無視|忘记|忘掉|绕过|输出|显示|告诉).{0,16}(?:指令|指示|提示|规则|規則|设定|系統|系统)|系统提示|你现在是",
            r"(?:ignora|dimentica).{0,30}(?:istruzioni|regole)|(?:ignore|"
            r"esqueça).{0,30}(?:instruções|regras)|(?:игнорируй|забудь).{0,40}(?:инструкц|правил)",
            r"bỏ qua.{0,30}(?:hướng dẫn|chỉ dẫn|lệnh)|abaikan.{0,30}(?:instruksi|perintah)",
        )
    ),
    re.IGNORECASE | re.DOTALL,
)


def is_injection(text: str) -> bool:
    """True where `text`, or what is hidden in it, gives the assistant orders."""
    plain = _normal(text)
    if _orders(plain):
        return True
    return any(hidden for hidden in _hidden(plain))


def _orders(text: str) -> bool:
    return bool(_PLAIN.search(text) or _SQUEEZED.search(_SQUEEZE.sub("", text)))


def _hidden(text: str) -> Iterator[bool]:
    """Yields, per disguise, whether it hides an order (readable base64 or hex has no place in a question)."""
    for match in _BASE64.finditer(text):
        decoded = _readable(_from_base64(match[0]))
        yield bool(decoded) and (bool(_HANGUL.search(decoded) or _WORDS.search(decoded)) or _orders(decoded))
    for match in _HEX.finditer(text):
        decoded = _readable(_from_hex(match[0]))
        yield bool(decoded) and (bool(_HANGUL.search(decoded) or _WORDS.search(decoded)))
    if _PERCENT.search(text):
        yield _orders(_normal(unquote(text)))
    if _UNICODE.search(text):
        yield _orders(_normal(_from_escapes(text)))
    yield _orders(text[::-1])
    yield _orders(" ".join(word[::-1] for word in text.split()))
    yield _orders(codecs.decode(text, "rot13"))


def _normal(text: str) -> str:
    return plain(unicodedata.normalize("NFKC", text[:_LIMIT]))


def _readable(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    return text if text and sum(c.isprintable() or c in "\n\t" for c in text) == len(text) else ""


def _from_base64(text: str) -> bytes:
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: str) -> bytes:
    digits = re.sub(r"\\x|0x|[^0-9a-fA-F]", "", text)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _from_escapes(text: str) -> str:
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"&#x([0-9a-fA-F]{1,5});", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"&#([0-9]{1,6});", lambda m: chr(min(int(m[1]), 0xFFFF)), text)
