"""Writes FAQs as an Excel workbook with one sheet of text cells, so that no formula can run.

SpreadsheetML in the smallest form that Excel, LibreOffice and python-calamine open (ECMA-376 part 1).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from retrieval.corpus.copies import COLUMNS, cells
from retrieval.corpus.faq import Corpus
from retrieval.errors import CorpusError

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# Characters that XML 1.0 cannot hold.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_CELL_CHARS = 32_767
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_REL}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}">'
    '<sheets><sheet name="FAQ" sheetId="1" r:id="r1"/></sheets></workbook>',
}


def write_workbook(corpus: Corpus, path: Path) -> None:
    """Writes each FAQ as a row of `COLUMNS`.

    Raises:
        CorpusError: a text is longer than a cell may be, or the file cannot be written.
    """
    rows: list[Sequence[str]] = [COLUMNS]
    for faq in corpus.faqs:
        row = cells(faq)
        if max(map(len, row)) > _CELL_CHARS:
            reason = f"{faq.question!r} is longer than a cell may be ({_CELL_CHARS:,} characters)."
            raise CorpusError(path, reason, hint="Write .jsonl or .csv.")
        rows.append(row)
    sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(_rows(rows))}</sheetData></worksheet>'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
            for name, text in {**_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
                book.writestr(name, _HEAD + text)
    except OSError as exc:
        reason = f"cannot be written ({exc.strerror})."
        raise CorpusError(path, reason, hint="Check the folder and its permissions.") from exc


def _rows(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for n, row in enumerate(rows, start=1):
        cells = "".join(
            f'<c r="{column}{n}" t="inlineStr"><is><t xml:space="preserve">'
            f"{escape(_UNWRITABLE.sub('', text))}</t></is></c>"
            for column, text in zip("ABCDEFG", row, strict=True)
        )
        yield f'<row r="{n}">{cells}</row>'
