"""How much the share of thumbs up says of a model."""

from __future__ import annotations

import pytest

from api.insights.models import wilson


@pytest.mark.parametrize(
    ("up", "of", "low", "high"),
    [(0, 0, None, None), (8, 10, 0.49, 0.943), (0, 5, 0.0, 0.434), (5, 5, 0.566, 1.0)],
)
def test_a_share_of_few_says_how_little_it_says(
    up: int, of: int, low: float | None, high: float | None
) -> None:
    assert wilson(up, of) == (low, high)
