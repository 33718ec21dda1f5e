"""Recognises what asks nothing of the FAQ: a greeting, thanks or farewell, the wish to speak to a person.

Greetings and thanks are a closed set: a text is one where nothing but such phrases and fillers is in it, so
`안녕하세요 정산은 언제 되나요` is a question. Knows phrasings; knows no retrieval, weights or FAQ.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from retrieval.scope.markets import OTHER_MARKET

Intent = Literal["question", "greeting", "thanks", "person"]

_LONGEST, _LONGEST_WISH = 60, 26
_NOT_SAID = re.compile(r"[\s\W_]+|[ㅎㅋㅠㅜ]{2,}")
_HELLO = (
    r"안[녕뇽냥](?:하(?:세[요용염여]|십니까|신가요|심까|셔요)|[요용])?|하이(?:요|루|염)?|헬로우?|헤이|ㅎㅇ|ㅇㄴㅎㅅㅇ|hi|hello|hey|"
    r"방가(?:워요?)?|반가(?:워요?|습니다)|반갑(?:습니다|네요)|여보세요|저기요|(?:거기)?누구(?:있나요|있어요|계세요)|(?:거기)?계세요|"
    r"처음(?:뵙겠습니다|왔어요|이에요|입니다)|굿(?:모닝|애프터눈|이브닝)|좋은(?:아침|오전|오후|저녁|밤|하루)(?:이에요|입니다|되세요|보내세요)?|"
    r"(?:즐거운|행복한|편안한)(?:하루|주말|저녁|밤)(?:되세요|보내세요)|(?:수고|고생)(?:많으(?:십니다|시네요|세요)|하(?:십니다|시네요|셨습니다))|"
    r"새해복많이받으세요|(?:챗|로)?봇(?:아|님|씨)?|ai야|"
    r"(?:질문|문의|궁금한(?:거|것|게|점)|물어볼(?:거|것|게)|여쭤볼(?:거|것|게))(?:이)?(?:하나|좀)?(?:있(?:어요|습니다|는데요|어서요|는데))|"
    r"질문(?:해도|드려도|하나해도)(?:돼요|되나요|될까요)|문의(?:드립니다|드려요|드릴게요|합니다|할게요|좀요)|"
    r"(?:뭐|뭣|하나|좀)?(?:좀|하나)?(?:물어봐도|여쭤봐도|물어도)(?:돼요|되나요|될까요)|(?:뭐|하나|좀)?(?:좀|하나)?(?:여쭤볼게요|물어볼게요)|"
    r"(?:좀)?도와(?:주세요|줘요?|주실수있나요)|도움(?:이|좀)?필요(?:해요|합니다)"
)
_THANKS = (
    r"고마(?:워요?|웠어요|버요|워용)|고맙(?:습니다|네요|다)|감사(?:합니[다당]|해요|했습니다|드려요|드립니다|함다|용|염|요)?|ㄱㅅ|땡큐|쌩큐|"
    r"thanks?(?:you)?|thankyou|thx|덕분에(?:잘)?(?:해결|됐|됬|알게|처리)(?:했어요|됐어요|됐습니다|어요|습니다|되었습니다|했습니다)?|"
    r"(?:큰|많은)?도움(?:이|많이|이많이)?(?:됐|됬|되었)(?:어요|습니다|네요)|(?:최고|친절)(?:예요|에요|이에요|네요|하시네요|합니다|해요)|"
    r"(?:이제|잘)?(?:알겠|이해했|이해됐|확인했)(?:습니다|어요|네요|어)|(?:다|잘)?해결(?:됐|했|되었)(?:다|어요|습니다|네요)|오케이|오키|ㅇㅋ|okay|ok|"
    r"그렇(?:군요|구나|네요)|아하|[네넵넹넴예응]|ㅇㅇ|굿(?!모닝|애프터눈|이브닝)|바이(?:바이)?|(?:그럼)?안녕히(?:계세요|가세요)|잘(?:있어요?|가요?)|"
    r"(?:수고|고생)하(?:세요|셔요)|(?:다음|나중)에(?:또)?(?:올게요|봐요|만나요|물어볼게요)|복받으세요"
)
_FILLER = (
    r"아|오|와|우와|정말|진짜|많이|너무|빠른|친절한|좋은|답변|설명|대답|"
    r"늘|항상|오늘도|좀|그냥|그럼|이제|또|다시"
)
_COURTESY = re.compile(rf"(?:{_HELLO}|{_THANKS}|{_FILLER})+", re.IGNORECASE)
_PARTS = re.compile(rf"(?P<thanks>{_THANKS})|(?P<hello>{_HELLO})|(?:{_FILLER})", re.IGNORECASE)

_SOMEBODY = r"(?:상담(?:원|사|직원)|사람|담당자|직원|매니저|인간|휴먼)(?:분)?(?:님)?"
_PERSON = re.compile(
    "|".join(
        (
            rf"{_SOMEBODY}(?:이랑|랑|하고|과|와|을|를|한테|에게|이|이나|으로|좀|분과)?(?:직접|좀|전화|통화|바로|다시|한번|빨리|지금)?"
            r"(?:연결|통화|바꿔(?:줘|주|달)|불러(?:줘|주|달)|얘기|이야기(?!계)|대화|상담|채팅|물어보(?:고싶|게)|답(?:변)?(?:해|을)(?:줘|주|달))",
            r"(?:챗|로)?봇말고|너(?:는|랑|한테)?(?:은)?말(?:고|이안통)",
            r"^(?:진짜|실제|정말)?(?:상담(?:원|사|직원)?|사람)(?:요|좀요?|연결(?:좀|요|해줘|해주세요)?)?$",
            r"(?:진짜|실제|정말)?(?:사람|상담(?:원|사|직원))(?:은|이|언제)?(?:없(?:어요?|나요|습니까)|있(?:어요?|나요)|상담(?:되나요|돼요|가능))$",
            r"상담(?:원|사)?(?:은|을|이)?(?:언제|어떻게|어디서)(?:연결|돼|되)|상담(?:톡|예약|신청|접수)|상담(?:을)?(?:받|하)고싶|상담받을수",
            r"^(?:전화|유선|채팅|1:?1|일대일|일대1)(?:로|으로)?(?:상담|문의)(?:을|를|은|좀)?(?:요|신청|연결|부탁|원해|하고싶|받|가능|되나|돼|해줘|해주|$)",
            r"(?:고객|상담|판매자)(?:센터|지원센터|지원)(?:의|에|로)?(?:대표)?(?:전화|번호|연락처|연결|통화|몇번|상담원)",
            r"^(?:급해요|지금|빨리)?(?:저한테)?(?:전화|연락|통화|콜백)(?:을)?(?:좀|한번|부탁|요청|가능)*"
            r"(?:주세요|줘요?|주실래요|드려요|드립니다|한가요|하나요|합니다|해주세요|할수있나요|하고싶(?:어요|습니다))?"
            r"(?:급해요|010\d*|으로)*$",
            r"human|(?:live|real)agent|agentplease",
        )
    ),
    re.IGNORECASE,
)
# Who speaks of changing a number or of buyers asks how to do something.
_ABOUT_THE_STORE = re.compile(
    r"변경|수정|등록|바꾸|바꿀|인증|노출|입력|설정|추가|삭제|초대|권한|위임|구매자|손님|고객님|고객이|고객과|사칭|광고|홍보|톡톡|"
    r"조회|운영시간|택배고객|대한통운|우체국|월급|안와|자꾸|왔는데|받았|재단|은행|대출|보험|세무|법률|변호사|노무|관세|엑스퍼트|인사말|멘트|굿서비스"
)


def intent_of(text: str) -> Intent:
    """What the text wants; `question` for everything that may ask something of the FAQ."""
    said = _NOT_SAID.sub("", unicodedata.normalize("NFC", text)).lower()
    if not said or len(said) > _LONGEST:
        return "question"
    if _COURTESY.fullmatch(said):
        kinds = {match.lastgroup for match in _PARTS.finditer(said)}
        return "thanks" if "thanks" in kinds else "greeting" if "hello" in kinds else "question"
    elsewhere = _ABOUT_THE_STORE.search(said) or OTHER_MARKET.search(said)
    if len(said) <= _LONGEST_WISH and _PERSON.search(said) and not elsewhere:
        return "person"
    return "question"
