"""Grouping by meaning."""

from __future__ import annotations

import numpy as np

from api.insights.clustering import centred, clusters, most_central


def points(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_near_ones_are_grouped_and_far_ones_stand_alone() -> None:
    assert clusters(points(0, 90, 3, 93, 180, 5), threshold=0.9) == [[0, 2, 5], [1, 3], [4]]


def test_threshold_joins_everything_or_nothing() -> None:
    spread = points(0, 40, 80, 120)
    assert clusters(spread, threshold=-1.1) == [[0, 1, 2, 3]]
    assert clusters(spread, threshold=1.1) == [[0], [1], [2], [3]]
    assert clusters(spread[:1], threshold=0.5) == [[0]]
    assert clusters(spread[:0], threshold=0.5) == []


def test_groups_are_those_of_average_linkage_done_the_slow_way() -> None:
    rng = np.random.default_rng(7)
    vectors = centred(rng.normal(size=(60, 8)).astype(np.float32), np.zeros(8, np.float32))
    groups = [[n] for n in range(len(vectors))]
    while len(groups) > 1:
        pairs = [
            (float((vectors[a] @ vectors[b].T).mean()), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j
        ]
        best, i, j = max(pairs)
        if best < 0.3:
            break
        groups[i] += groups.pop(j)
    found = clusters(vectors, threshold=0.3)
    assert sorted(map(sorted, groups)) == sorted(found)


def test_centred_vectors_forget_what_all_share() -> None:
    shared = np.array([10.0, 0.0, 0.0], np.float32)
    vectors = shared + np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1]], np.float32)
    found = centred(vectors, vectors.mean(axis=0))
    assert float(found[0] @ found[1]) < 0
    assert np.allclose(np.linalg.norm(found, axis=1), 1)


def test_most_central_member_stands_for_its_group() -> None:
    assert most_central(points(0, 10, 20, 200), [0, 1, 2]) == 1
