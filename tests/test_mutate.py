"""The mutants that `make mutate` tries: each is a program, and each differs from the code."""

from __future__ import annotations

from pathlib import Path

from tests.mutate import FOLDERS, ROOT, drawn, mutants, suite_of

FILES = [path.relative_to(ROOT) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_mutant_is_another_program() -> None:
    every = [mutant for file in FILES for mutant in mutants(file)]
    assert len(every) > 1000
    for mutant in every:
        source = mutant.source()
        compile(source, str(mutant.path), "exec")
        assert source != (ROOT / mutant.path).read_text(encoding="utf-8")


def test_a_module_is_tested_by_its_room_and_its_importers() -> None:
    found = suite_of(Path("api/access/keys.py"))
    assert found[0].startswith("tests/api/access/")
    assert {"tests/api/access/test_keys.py", "tests/api/access/test_keys_http.py"} <= set(found)
    assert all(suite_of(file) for file in FILES)


def test_a_seed_draws_the_same_mutants_of_a_folder_again() -> None:
    sample = drawn("api/turns", sample=5, seed=1)
    assert all(mutant.path.is_relative_to("api/turns") for mutant in sample)
    assert sample == drawn("api/turns", sample=5, seed=1)
    assert sample != drawn("api/turns", sample=5, seed=2)
