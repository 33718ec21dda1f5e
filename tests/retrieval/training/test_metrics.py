"""Measures against values worked out by hand."""

from __future__ import annotations

from math import log2

import pytest

from retrieval.training.metrics import (
    bootstrap,
    first_rank,
    mean,
    mrr,
    ndcg_at,
    paired_bootstrap,
    percentile,
    recall_at,
)


def test_first_rank_counts_from_one_and_takes_any_relevant_item() -> None:
    assert first_rank(["정산", "배송", "반품"], {"반품", "배송"}) == 2
    assert first_rank(["정산"], {"반품"}) is None
    assert first_rank([], {"반품"}) is None


def test_recall_is_the_share_of_queries_found_by_k() -> None:
    ranks = [1, 2, 6, None]
    assert recall_at(ranks, 1) == 0.25
    assert recall_at(ranks, 5) == 0.5
    assert recall_at(ranks, 6) == 0.75
    assert recall_at([], 5) == 0.0


def test_mrr_averages_reciprocal_ranks_and_counts_misses_as_zero() -> None:
    assert mrr([1, 2, 4, None]) == pytest.approx((1 + 0.5 + 0.25) / 4)


def test_ndcg_with_one_relevant_item_is_its_discount() -> None:
    assert ndcg_at(["a", "b", "c"], {"a"}) == 1.0
    assert ndcg_at(["a", "b", "c"], {"c"}) == pytest.approx(1 / log2(4))
    assert ndcg_at(["a", "b", "c"], {"c"}, k=2) == 0.0


def test_ndcg_with_two_relevant_items_is_divided_by_the_best_order() -> None:
    best = 1 + 1 / log2(3)
    assert ndcg_at(["a", "x", "b"], {"a", "b"}) == pytest.approx((1 + 1 / log2(4)) / best)
    assert ndcg_at(["a"], set()) == 0.0


def test_percentile_interpolates() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert percentile([], 0.5) == 0.0
    assert mean([]) == 0.0


def test_bootstrap_interval_of_a_constant_has_no_width() -> None:
    found = bootstrap([0.5] * 20)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_bootstrap_interval_is_near_the_normal_one() -> None:
    found = bootstrap([1.0] * 80 + [0.0] * 20)
    half = 1.96 * (0.8 * 0.2 / 100) ** 0.5
    assert found.low == pytest.approx(0.8 - half, abs=0.015)
    assert found.high == pytest.approx(0.8 + half, abs=0.015)


def test_paired_bootstrap_decides_where_unpaired_spread_would_hide_it() -> None:
    a = [float(n % 2) for n in range(100)]
    better = [min(1.0, x + (n % 5 == 0)) for n, x in enumerate(a)]
    assert paired_bootstrap(a, better).decided
    assert not paired_bootstrap(a, a).decided


def test_paired_bootstrap_refuses_other_lengths_and_nothing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])
