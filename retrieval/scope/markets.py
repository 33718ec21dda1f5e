"""Names of marketplaces, shops and platforms that are not Smartstore."""

from __future__ import annotations

import re

OTHER_MARKET = re.compile(
    r"쿠팡|지마켓|g마켓|옥션|11번가|십일번가|위메프|티몬|무신사|에이블리|지그재그|브랜디|번개장터|당근|중고나라|"
    r"카카오\s?(?:톡\s?)?(?:스토어|선물|메이커스|쇼핑)|톡스토어|롯데온|롯데\s?on|ssg|쓱닷컴|신세계몰|이마트몰|현대몰|"
    r"홈쇼핑|알리익스프레스|알리|테무|쉬인|타오바오|1688|알리바바|아마존|amazon|이베이|ebay|엣시|etsy|쇼피|shopee|라자다|"
    r"큐텐|qoo10|라쿠텐|쇼피파이|shopify|카페24|cafe24|고도몰|메이크샵|아임웹|식스샵|윅스|텐바이텐|29cm|오늘의\s?집|"
    r"마켓컬리|컬리|올리브영|아이디어스|크몽|숨고|와디즈|텀블벅|배달의민족|배민|요기요|쿠팡이츠|틱톡\s?샵|인터파크|"
    r"발란|트렌비|머스트잇|크림|kream|솔드아웃|야놀자|여기어때|토스|하이버|퀸잇|문고리닷컴|도매꾹|온채널|오너클랜",
    re.IGNORECASE,
)
