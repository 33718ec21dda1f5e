"""Every test that docs/security.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_NAMED = re.compile(r"`(?:(?P<file>(?:tests/[\w/]+/)?test_\w+\.py))?(?:::(?P<test>test_\w+))?`")


def named() -> list[tuple[str, str]]:
    """(file, function) in order; a function without a file is of the last file named."""
    found, file = [], ""
    for match in _NAMED.finditer((ROOT / "docs" / "security.md").read_text(encoding="utf-8")):
        file = match["file"] or file
        if match["file"] or match["test"]:
            found.append((file, match["test"] or ""))
    return found


@pytest.mark.parametrize(("file", "test"), named())
def test_a_named_test_exists(file: str, test: str) -> None:
    places = [ROOT / file] if "/" in file else sorted((ROOT / "tests").rglob(file))
    assert places, f"no file {file}"
    assert not test or any(re.search(rf"^(async )?def {test}\(", p.read_text(), re.M) for p in places)


def test_the_document_names_tests() -> None:
    assert len(named()) > 50
