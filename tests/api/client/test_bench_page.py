"""The page of `smartstore bench`: what it holds, kept, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.client.bench_page import BenchPage, bench_page
from api.errors import CommandError
from tests.api.live import smartstore


def test_a_page_tells_medians_and_the_sum_of_the_cpu() -> None:
    times = {"first delta": [10.0, 20.0, 30.0], "whole turn": [40.0, 50.0, 60.0]}
    page = bench_page(times, {"until the first text": [4.0, 6.0], "end": [1.0, 1.0]}, {"start (s)": 2.5})
    assert page.figures["start (s)"] == 2.5
    assert page.figures["first delta, p50 (ms)"] == 20.0
    assert page.figures["CPU a turn (ms)"] == 6.0
    assert page.figures["memory at its peak (MiB)"] > 10
    assert "memory at its peak (MiB)" not in bench_page(times, {}, {}).figures


def test_a_page_is_compared_with_a_kept_one(tmp_path: Path) -> None:
    kept = BenchPage({"CPU a turn (ms)": 50.0, "gone": 1.0}, "2 cores")
    kept.save(tmp_path / "before.json")
    now = BenchPage({"CPU a turn (ms)": 20.0, "new": 3.0}, "2 cores")
    rows = now.rows(BenchPage.load(tmp_path / "before.json"))
    assert rows == [("CPU a turn (ms)", "20.0", "50.0", "0.40x"), ("new", "3.0", "-", "-")]


@pytest.mark.parametrize("text", ["", "[]", '{"figures": 3}'])
def test_a_file_that_is_no_page_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CommandError, match="saved run"):
        BenchPage.load(tmp_path / "x.json")


def test_bench_prints_saves_and_compares(data_dir: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "run.json")
    for options in (["--save", kept], ["--against", kept, "--json"], ["--against", kept]):
        done = smartstore(data_dir, "bench", "-n", "3", *options, SMARTSTORE_SERVER__PORT="9")
        assert done.returncode == 0, done.stderr
        if "--json" in options:
            told = json.loads(done.stdout)
            assert told["figures"]["CPU a turn (ms)"] > 0
            assert told["steps_ms"]["first delta"]["p50"] > 0
    assert "ratio" in done.stdout
    assert "before:" in done.stdout
