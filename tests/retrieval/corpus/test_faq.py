"""Reading FAQ files: what a good one becomes, and what each bad one is told."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import unicodedata
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from retrieval.corpus.faq import Corpus, faq_id, read_corpus
from retrieval.errors import CorpusError

FRAME = "\n\n위 도움말이 도움이 되었나요?\n\n보내기\n\n관련 도움말/키워드\n\n#포장\n\n도움말 닫기"
ENTRIES = {
    "[상품][포장/배송] 깨지기 쉬운 그릇은\u200b 어떻게 포장하나요?": "두 번 감싸 주세요.새 상자가 좋습니다."
    + FRAME,
    "영업일은 언제인가요?": "월요일부터 금요일까지입니다.",
}


def write_pickle(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def write_lines(path: Path, *rows: Any) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(CorpusError) as caught:
        read_corpus(path, **options)
    assert caught.value.path == path
    assert caught.value.hint, "a fault must name the way out"
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_corpus_reads_a_pickle_and_cleans_it(tmp_path: Path) -> None:
    corpus = read_corpus(write_pickle(tmp_path / "faq.pkl", ENTRIES))
    first, second = corpus.faqs
    assert first.title == next(iter(ENTRIES))
    assert first.question == "[상품][포장/배송] 깨지기 쉬운 그릇은 어떻게 포장하나요?"
    assert first.body_question == "깨지기 쉬운 그릇은 어떻게 포장하나요?"
    assert first.categories == ("상품", "포장/배송")
    assert first.answer == "두 번 감싸 주세요.\n새 상자가 좋습니다."
    assert first.related == ("#포장",)
    assert second.categories == second.related == ()
    assert second.body_question == second.question


def test_corpus_keeps_order_ids_and_rows(tmp_path: Path) -> None:
    corpus = read_corpus(write_pickle(tmp_path / "faq.pkl", ENTRIES))
    for row, faq in enumerate(corpus.faqs):
        assert corpus.row_of(faq.id) == row
        assert corpus.by_id[faq.id] is faq
        assert corpus.find_question(faq.title) is faq
    assert corpus.find_question("없는 질문인가요?") is None
    with pytest.raises(KeyError):
        corpus.row_of("000000000000")


@pytest.mark.parametrize("title", [*ENTRIES, "반품\u00a0배송비는\u3000얼마\n인가요？", "  ①번 상품은요 "])
def test_faq_id_follows_its_formula_on_the_raw_title(title: str) -> None:
    normal = " ".join(unicodedata.normalize("NFKC", title).split())
    assert faq_id(title) == hashlib.blake2b(normal.encode(), digest_size=6).hexdigest()


def test_faq_id_ignores_spacing_and_width() -> None:
    assert faq_id("반품\u00a0배송비는  얼마인가요？") == faq_id("반품 배송비는 얼마인가요?")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_corpus_reads_every_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    assert len(read_corpus(write_pickle(tmp_path / "faq.pkl", ENTRIES, protocol)).faqs) == 2


def test_corpus_is_the_same_from_every_format(tmp_path: Path) -> None:
    rows = [{"question": q, "answer": a} for q, a in ENTRIES.items()]
    table = tmp_path / "faq.csv"
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["answer", "question"])
        writer.writeheader()
        writer.writerows(rows)
    corpora: list[Corpus] = [
        read_corpus(write_pickle(tmp_path / "faq.pkl", ENTRIES)),
        read_corpus(write_lines(tmp_path / "faq.jsonl", *rows), clean=True),
        read_corpus(table, clean=True),
    ]
    assert corpora[0].faqs == corpora[1].faqs == corpora[2].faqs
    assert len({corpus.fingerprint for corpus in corpora}) == 1


def test_corpus_takes_categories_and_related_of_jsonl(tmp_path: Path) -> None:
    row = {"question": "[앱] 알림은 어떻게 끄나요?", "answer": "설정에서 끕니다.", "categories": ["설정"],
           "related": ["알림은 어떻게 켜나요?"]}  # fmt: skip
    faq = read_corpus(write_lines(tmp_path / "faq.jsonl", row, "")).faqs[0]
    assert faq.categories == ("설정",)
    assert faq.related == ("알림은 어떻게 켜나요?",)


def test_corpus_splits_csv_lists_at_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(
        'question,answer,categories,related\n색상은 몇 개인가요?,"빨강, 파랑입니다.",상품; 색상,크기는요?;\n',
        encoding="utf-8",
    )
    faq = read_corpus(path).faqs[0]
    assert (faq.answer, faq.categories, faq.related) == (
        "빨강, 파랑입니다.",
        ("상품", "색상"),
        ("크기는요?",),
    )


def test_corpus_keeps_the_first_of_duplicate_questions_and_reports_the_rest(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "faq.jsonl",
        {"question": "쿠폰은 언제 끝나나요?", "answer": "월말입니다."},
        {"question": "쿠폰은\u00a0언제  끝나나요?", "answer": "모릅니다."},
    )
    corpus = read_corpus(path)
    assert [faq.answer for faq in corpus.faqs] == ["월말입니다."]
    (duplicate,) = corpus.duplicates
    assert (duplicate.kept, duplicate.left_out, duplicate.differs) == ("line 1", "line 2", True)
    assert "line 1 is kept; line 2, with another answer, is left out" in str(duplicate)


def test_corpus_fingerprint_changes_with_question_answer_and_order(tmp_path: Path) -> None:
    path = tmp_path / "faq.pkl"
    variants = [
        {"가나요?": "네.", "다라요?": "예."},
        {"다라요?": "예.", "가나요?": "네."},
        {"가나요?": "네", "다라요?": "예."},
        {"가나요!": "네.", "다라요?": "예."},
    ]
    prints = [read_corpus(write_pickle(path, variant)).fingerprint for variant in variants]
    assert len(set(prints)) == len(variants)
    assert read_corpus(write_pickle(path, variants[0])).fingerprint == prints[0]


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_corpus_refuses_a_pickle_that_would_run_code_and_runs_none(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = write_pickle(tmp_path / "faq.pkl", {"질문?": Attack(marker)}, protocol)
        assert "builds or calls Python objects" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "code", [b"cos\nsystem\n.", b"\x80\x02}\x8c\x01aPbogus\n.", b"(S'ls'\nios\nsystem\n."]
)
def test_corpus_refuses_hand_made_pickles(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "faq.pkl"
    path.write_bytes(code)
    refusal(path)


def test_corpus_refuses_a_pickle_that_asks_for_a_huge_memo(tmp_path: Path) -> None:
    path = tmp_path / "faq.pkl"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    assert "memo index" in refusal(path)


def test_corpus_refuses_a_pickle_truncated_anywhere(tmp_path: Path) -> None:
    whole = pickle.dumps(ENTRIES, protocol=4)
    path = tmp_path / "faq.pkl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_corpus_refuses_a_pickle_with_bytes_after_its_end(tmp_path: Path) -> None:
    path = tmp_path / "faq.pkl"
    path.write_bytes(pickle.dumps(ENTRIES, protocol=4) + b"\n")
    assert refusal(path) == "has 1 bytes after the end of the pickle."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (["질문?", "답입니다."], "holds a list, not a dict."),
        ("질문?", "holds a str, not a dict."),
        (None, "holds a NoneType, not a dict."),
        ({"질문?": 3}, "entry 1: the answer is a int, not a str."),
        ({"가?": "나.", "질문?": ["답"]}, "entry 2: the answer is a list, not a str."),
        ({7: "답입니다."}, "entry 1: the question is a int, not a str."),
        ({"질문?": b"\xeb\x8b\xb5"}, "entry 1: the answer is a bytes, not a str."),
        ({}, "holds no FAQ."),
        ({" \u200b": "답입니다."}, "entry 1: the question is empty."),
        ({"질문?": "\u00a0" + FRAME}, "entry 1: the answer is empty."),
        ({"질문?": "\ud800"}, "entry 1 holds a lone surrogate, which is no character."),
    ],
)
def test_corpus_refuses_wrong_pickle_contents(tmp_path: Path, content: Any, told: str) -> None:
    assert refusal(write_pickle(tmp_path / "faq.pkl", content, 4)) == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object."),
        ({"question": "질문?"}, 'line 2: "answer" is missing.'),
        ({"question": 1, "answer": "답."}, 'line 2: "question" is not a string.'),
        (
            {"question": "질문?", "answer": "답.", "related": "하나"},
            'line 2: "related" must be a list of strings.',
        ),
        ({"question": "질문?", "answer": "답.", "categories": [1]}, 'line 2: "categories" must be a list'),
        ({"question": "질문?", "answer": " "}, "line 2: the answer is empty."),
        ('{"question": "질문?", "answer": "\\ud800"}', "line 2 holds a lone surrogate"),
    ],
)
def test_corpus_names_the_bad_jsonl_line(tmp_path: Path, line: Any, told: str) -> None:
    path = write_lines(tmp_path / "faq.jsonl", {"question": "첫 질문?", "answer": "첫 답."}, line)
    assert refusal(path).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("말,글\n가?,나.\n", "has no column question and answer (its columns: 말, 글)."),
        ("질문,answer,Question\n", "has two columns for the question: 질문 and Question."),
        ("question,reply\n가?,나.\n", "has no column answer (its columns: question, reply)."),
        ("question,answer\n가?\n", "line 2 has not 2 cells."),
        ("question,answer\n가?,나.,다.\n", "line 2 has not 2 cells."),
        ('question,answer\n가?,"나.\n', "line 2 is not CSV"),
        ("question,answer\n", "holds no FAQ."),
        ("", "holds no FAQ."),
    ],
)
def test_corpus_names_the_fault_of_a_csv(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(text, encoding="utf-8")
    assert refusal(path).startswith(told)


def test_corpus_refuses_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_bytes(b"question,answer\n\xff\x80\x81\xfe\x80,\xff\xff\n")
    assert "is not UTF-8 (byte 16), nor cp949." in refusal(path)


def test_corpus_tells_every_fault_at_once(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "faq.jsonl",
        {"question": "하나?", "answer": "답."},
        "{",
        {"question": "둘?"},
        {"question": "셋?", "answer": " "},
        {"question": "넷?", "answer": "답.", "id": "x"},
    )
    told = refusal(path)
    assert "line 2 is not JSON" in told
    assert 'line 3: "answer" is missing; ' in told
    assert 'line 5: "id" must be 12 hex digits; line 4: the answer is empty.' in told


def test_corpus_tells_of_many_faults_in_few_words(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "faq.jsonl", *("{" for _ in range(500)))
    assert refusal(path).endswith("; and 480 more.")


def test_corpus_takes_the_id_that_a_file_gives(tmp_path: Path) -> None:
    row = {"id": "0123456789ab", "question": "고친 제목인가요?", "answer": "네."}
    assert read_corpus(write_lines(tmp_path / "faq.jsonl", row)).faqs[0].id == "0123456789ab"


def test_corpus_leaves_an_answer_that_nobody_crawled_as_it_is(tmp_path: Path) -> None:
    row = {"question": "가나요?", "answer": "네.\u200b 됩니다.다음 줄입니다.\r\n| 가 | 나 |\n\n\n\n- 끝  \n"}
    faq = read_corpus(write_lines(tmp_path / "faq.jsonl", row)).faqs[0]
    assert faq.answer == "네. 됩니다.다음 줄입니다.\n| 가 | 나 |\n\n- 끝"


def test_corpus_composes_hangul_of_a_mac(tmp_path: Path) -> None:
    row = {"question": "정산은?", "answer": "내일입니다."}
    apart = {key: unicodedata.normalize("NFD", text) for key, text in row.items()}
    faq = read_corpus(write_lines(tmp_path / "faq.jsonl", apart)).faqs[0]
    assert (faq.question, faq.answer, faq.id) == ("정산은?", "내일입니다.", faq_id("정산은?"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("header", [("질문", "답변", "분류"), ("Question", "ANSWER", "Category")])
def test_corpus_reads_what_korean_excel_saves(
    tmp_path: Path, delimiter: str, encoding: str, header: tuple[str, ...]
) -> None:
    path = tmp_path / "faq.csv"
    rows = [header, ("정산은 언제 되나요?", "구매확정 다음 날, 곧 1영업일 뒤입니다.", "정산")]
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    faq = read_corpus(path).faqs[0]
    assert (faq.question, faq.answer, faq.categories) == (rows[1][0], rows[1][1], ("정산",))


def test_corpus_names_columns_that_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("질문,답변,카테고리들,비고\n가?,나.,다,라\n", encoding="utf-8")
    assert read_corpus(path).ignored == ("카테고리들", "비고")


def write_workbook(path: Path, rows: list[list[str | int]], *, padding: int = 0) -> Path:
    """The smallest workbook: one sheet of inline texts; `padding` blanks make it unfold to more."""
    cells = "".join(
        "<row>" + "".join(
            f"<c><v>{cell}</v></c>" if isinstance(cell, int)
            else f'<c t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
            for cell in row
        ) + "</row>"
        for row in rows
    )  # fmt: skip
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="FAQ" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship '
        f'Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
        + " " * padding,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_corpus_reads_a_workbook(tmp_path: Path) -> None:
    rows: list[list[str | int]] = [
        ["분류", "질문", "답변", "관련 질문"],
        ["정산", "정산은 언제 되나요?", "다음 날입니다.\n· 공휴일은 빼고요.", "수수료는요?; 환불은요?"],
        ["", "비밀번호 오류는 몇 번까지인가요?", 5, ""],
    ]
    first, second = read_corpus(write_workbook(tmp_path / "faq.xlsx", rows)).faqs
    assert (first.answer, first.categories) == ("다음 날입니다.\n· 공휴일은 빼고요.", ("정산",))
    assert first.related == ("수수료는요?", "환불은요?")
    assert second.answer == "5"


def test_corpus_refuses_a_workbook_that_unfolds_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.corpus.tables.MAX_CHARS", 1_000_000)
    path = write_workbook(tmp_path / "faq.xlsx", [["질문", "답변"], ["가?", "나."]], padding=5_000_000)
    assert path.stat().st_size < 10_000
    assert refusal(path).startswith("unfolds to 5,0")


def test_corpus_refuses_a_pickle_that_unfolds_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.corpus.faq.MAX_CHARS", 1_000_000)
    answer = "길고 긴 답입니다. " * 1_000
    path = write_pickle(tmp_path / "faq.pkl", {f"{n}번째 질문?": answer for n in range(200)})
    assert path.stat().st_size < 40_000
    assert refusal(path) == "unfolds to 200 entries, too much to serve."


def test_corpus_refuses_what_it_cannot_open(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pkl") == "does not exist."
    (tmp_path / "folder.pkl").mkdir()
    assert refusal(tmp_path / "folder.pkl") == "is not a file."
    (tmp_path / "faq.xlsx").touch()
    assert refusal(tmp_path / "faq.xlsx").startswith("is not a workbook that can be read")
    (tmp_path / "faq.doc").touch()
    assert refusal(tmp_path / "faq.doc") == "has an unknown suffix '.doc'."


def test_corpus_refuses_a_file_over_the_limit(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "faq.pkl", ENTRIES)
    size = path.stat().st_size
    assert len(read_corpus(path, max_bytes=size).faqs) == 2
    assert refusal(path, max_bytes=size - 1) == f"is larger than {size - 1:,} bytes."


@pytest.mark.real
def test_corpus_reads_the_real_faq_whole_and_fast() -> None:
    import time

    path = Path(__file__).parents[4] / "shared" / "data" / "final_result.pkl"
    if not path.exists():
        pytest.skip("the real FAQ is not here")
    started = time.process_time()
    corpus = read_corpus(path)
    assert time.process_time() - started < 3
    assert len(corpus.faqs) == 2717
    assert corpus.duplicates == ()
    assert sum(corpus.find_question(title) is not None for faq in corpus.faqs for title in faq.related) > 600
