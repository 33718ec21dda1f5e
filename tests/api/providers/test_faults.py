"""The faults of `docs/faults.md`, met on a real server: nothing hangs, mixes or leaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.providers import faults
from tests.api.providers.faults import DOC, Met


@pytest.mark.timeout(300)
def test_faults_end_with_one_provider_s_answer(data_dir: Path) -> None:
    aided, alone, steps, stops = faults.run(data_dir)
    for met in aided + alone:
        assert met.whole, met
        assert met.freed, met
    assert all(_told(met) for met in aided if met.fault != "endless")
    assert all(
        "`error` provider_" in met.saw for met in alone if (met.fault, met.phase) != ("endless", "after")
    )
    assert len(stops) == 2
    assert [came.rpartition(" ")[2] for _, came in steps[-4:]] == ["open", "open", "closed", "closed"]
    assert "asked 0 times" in steps[-3][1]
    documented = DOC.read_text(encoding="utf-8")
    for with_, without in zip(aided, alone, strict=True):
        row = next(
            line for line in documented.splitlines() if line.startswith(f"| {with_.fault} | {with_.phase} |")
        )
        assert with_.saw in row
        assert without.saw in row


def _told(met: Met) -> bool:
    """Silent before the first piece, told after it."""
    return ("provider.switched" in met.saw) == (met.phase == "after") and "`extractive`" in met.saw
