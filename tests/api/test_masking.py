"""Personal data never stands in a log line, nor in what leaves: each kind, and what only looks like one."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import structlog

from api.masking import mask_personal_data, mask_secrets
from api.observability.logs import configure_logs
from api.settings import LogSettings

PERSONAL = (
    ("900101-1234567", "[주민등록번호]"),
    ("0512312123456", "[주민등록번호]"),
    ("010-1234-5678", "[전화번호]"),
    ("01012345678", "[전화번호]"),
    ("02) 123-4567", "[전화번호]"),
    ("02-123-4567", "[전화번호]"),
    ("+82 10 1234 5678", "[전화번호]"),
    ("0507-1234-5678", "[전화번호]"),
    ("1234-5678-9012-3456", "[카드번호]"),
    ("1234 5678 9012 3456", "[카드번호]"),
    ("123-45-67890", "[사업자등록번호]"),
    ("110-234-567890", "[계좌번호]"),
    ("12-34-56", "[계좌번호]"),
    ("3021234567811", "[계좌번호]"),
    ("seller.kim+shop@naver.com", "[이메일]"),
)
HARMLESS = ("2026-11-26", "주문 3건", "배송비 3,000원", "1588", "2,717개", "5~7일", "v1.2.3", "14:30")


@pytest.mark.parametrize(("number", "label"), PERSONAL)
def test_masking_replaces_each_kind_by_its_name(number: str, label: str) -> None:
    assert mask_personal_data(f"제 정보는 {number} 입니다") == f"제 정보는 {label} 입니다"
    assert mask_personal_data(f"({number})") == f"({label})"


@pytest.mark.parametrize("text", HARMLESS)
def test_masking_leaves_dates_amounts_and_counts(text: str) -> None:
    assert mask_personal_data(text) == text


def test_masking_replaces_every_number_of_a_text() -> None:
    masked = mask_personal_data(" / ".join(number for number, _ in PERSONAL))
    assert masked == " / ".join(label for _, label in PERSONAL)


@pytest.mark.parametrize("field", ["question", "standalone", "answer", "error"])
@pytest.mark.parametrize(("number", "label"), PERSONAL)
def test_logs_mask_the_fields_that_carry_text(
    field: str, number: str, label: str, monkeypatch: pytest.MonkeyPatch, root_logger: logging.Logger
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs(LogSettings(format="json"))
    structlog.get_logger("test").info("turn.failed", **{field: f"연락처 {number}", "turn_id": "t_1"})
    line = json.loads(written.getvalue())
    assert (line[field], line["turn_id"]) == (f"연락처 {label}", "t_1")


@pytest.mark.parametrize(
    "said",
    ["Incorrect API key provided: sk-proj-abcdEFGH1234. You can", "Authorization: Bearer abcd1234efgh",
     "https://x.example/v1?key=AbCd1234EfGh&x=1", "token hf_abcdefghijkl",
     "eyJhbGciOiJI.eyJzdWIiOiIx.sig-nature"],
)  # fmt: skip
def test_secrets_are_cut(said: str) -> None:
    assert "[비밀]" in mask_secrets(said)
    assert not any(part in mask_secrets(said) for part in ("1234", "abcdefghijkl", "eyJ"))


def test_known_secrets_are_cut_and_words_are_not() -> None:
    assert mask_secrets("the key mykey is wrong, skipping tokens", "mykey", "") == (
        "the key [비밀] is wrong, skipping tokens"
    )
