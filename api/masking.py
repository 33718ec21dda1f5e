"""Masks personal data in text: before it is logged, and before it leaves for a third party.

Covers resident registration numbers, phone, bank account, business and card numbers and
e-mail addresses. Knows patterns only; a name without a pattern passes. Secrets that a provider
repeats (its own key in a refusal) are cut likewise.
"""

from __future__ import annotations

import re
from functools import partial

_ADDRESS = ("[이메일]", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"))
_NUMBERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "[주민등록번호]",
        re.compile(r"(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-\s]?[1-8]\d{6}(?!\d)"),
    ),
    (
        "[전화번호]",
        re.compile(
            r"(?<!\d)(?:\+82[-\s]?|0)(?:1[016789]|2|[3-6]\d|70|50\d)[-.\s)]{0,2}\d{3,4}[-.\s]?\d{4}(?!\d)"
        ),
    ),
    ("[카드번호]", re.compile(r"(?<!\d)\d{4}[-\s]\d{4}[-\s]\d{4}[-\s]\d{4}(?!\d)")),
    ("[사업자등록번호]", re.compile(r"(?<!\d)\d{3}-\d{2}-\d{5}(?!\d)")),
    (
        "[계좌번호]",
        re.compile(r"(?<![\d-])\d{2,6}-\d{2,6}-\d{2,8}(?:-\d{1,4})?(?![\d-])|(?<!\d)\d{10,16}(?!\d)"),
    ),
)
# Six digits, at most two signs apart, are the least that any of those numbers has. Few texts have them, and
# to look for them costs a tenth of looking for each kind.
_SOME_NUMBER = re.compile(r"(?:\d\D{0,2}){5}\d")
# What the keys of providers, clouds and repositories look like, and whatever a header or field calls one.
_SECRET = re.compile(
    r"\b(?:(?:sk|pk|rk|ssk|hf|ghp|gho|xox[abp])[-_]|AKIA|AIza)[A-Za-z0-9_*.-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?<=Bearer )[^\s\"',}]+"
    r"|(?<=key=)[^\s&\"',}]{8,}",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?:19|20)\d{2}-\d{1,2}-\d{1,2}")


def mask_personal_data(text: str) -> str:
    """`text` with every personal number or address replaced by its kind in brackets."""
    kinds = (_ADDRESS,) if "@" in text else ()
    for label, pattern in kinds + (_NUMBERS if _SOME_NUMBER.search(text) else ()):
        text = pattern.sub(partial(_replaced, label), text)
    return text


def mask_secrets(text: str, *known: str) -> str:
    """`text` without the `known` secrets, and without anything that looks like one."""
    for secret in known:
        if secret:
            text = text.replace(secret, "[비밀]")
    return _SECRET.sub("[비밀]", text)


def _replaced(label: str, match: re.Match[str]) -> str:
    return match[0] if _DATE.fullmatch(match[0]) else label
