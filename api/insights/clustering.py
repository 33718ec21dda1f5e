"""Groups texts by meaning: average-linkage clustering of unit vectors by nearest-neighbour chains.

O(n²) in time and memory, exact, and without a number of clusters to choose; a few thousand questions
take seconds. Murtagh, "A survey of recent advances in hierarchical clustering algorithms" (1983).
Knows vectors only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centred(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors without what all texts share: `(n, dim)`.

    Sentence embedders put everything into a narrow cone (any two Korean questions have a cosine of 0.8 in
    E5); without its axis unrelated questions are near 0 for every embedder, so one threshold fits all.
    """
    moved = vectors - mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    found: NDArray[np.float32] = (moved / np.maximum(lengths, 1e-9)).astype(np.float32)
    return found


def clusters(vectors: NDArray[np.float32], *, threshold: float) -> list[list[int]]:
    """Groups rows whose mean cosine with each other is at least `threshold`; largest group first.

    Args:
        vectors: `(n, dim)` float32, unit length.
        threshold: where to cut; -1 joins everything, above 1 nothing.
    """
    count = len(vectors)
    if count < 2:
        return [[n] for n in range(count)]
    likeness = (vectors @ vectors.T).astype(np.float32)
    np.fill_diagonal(likeness, -np.inf)
    sizes, members = np.ones(count), {n: [n] for n in range(count)}
    chain: list[int] = []
    done: list[list[int]] = []
    while members:
        if not chain:
            chain.append(next(iter(members)))
        here = chain[-1]
        nearest = int(np.argmax(likeness[here]))
        if likeness[here, nearest] < threshold:
            # Nothing will ever be nearer to it: average linkage has no reversals.
            done.append(members.pop(here))
            likeness[here, :] = likeness[:, here] = -np.inf
            chain.pop()
        elif len(chain) > 1 and likeness[here, nearest] <= likeness[here, chain[-2]]:
            chain.pop()
            _join(likeness, sizes, members, chain.pop(), here)
        else:
            chain.append(nearest)
    return sorted((sorted(group) for group in done), key=lambda group: (-len(group), group))


def _join(
    likeness: NDArray[np.float32],
    sizes: NDArray[np.float64],
    members: dict[int, list[int]],
    one: int,
    two: int,
) -> None:
    """Puts `two` into `one` (Lance-Williams update of the mean likeness)."""
    total = sizes[one] + sizes[two]
    row = (likeness[one] * sizes[one] + likeness[two] * sizes[two]) / total
    row[[one, two]] = -np.inf
    likeness[one, :] = likeness[:, one] = row
    likeness[two, :] = likeness[:, two] = -np.inf
    sizes[one] = total
    members[one] += members.pop(two)


def most_central(vectors: NDArray[np.float32], group: list[int]) -> int:
    """The member that is most like all of its group."""
    part = vectors[group]
    return group[int(np.argmax(part @ part.sum(axis=0)))]
