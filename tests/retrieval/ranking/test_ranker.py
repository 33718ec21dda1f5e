"""The ranker: order, probabilities, features, and weights fitted to queries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.corpus.faq import Faq
from retrieval.index.base import LEGS, SIGNS, Candidate, IndexQuery
from retrieval.ranking.features import FEATURES, features, leg_matrix
from retrieval.ranking.ranker import RANKING, Ranker, RankerError, margins
from retrieval.training.data import RankedQuery
from retrieval.training.ranker import (
    calibration_error,
    cross_validated_error,
    cross_validated_figures,
    figures,
    fit_ranker,
    ranks,
    recalibrated,
    without_answer,
)

QUERY = IndexQuery("정산은 언제 되나요?", np.zeros(4, np.float32), ("정산", "언제"))


def _candidate(id: str, *scores: float, covered: float = 0.5) -> Candidate:
    signs = {**dict.fromkeys(SIGNS, 0.0), "centre": scores[0], "together": scores[3], "covered": covered}
    faq = Faq(id, f"질문 {id}", "답변", (), (), f"질문 {id}")
    return Candidate(faq, dict(zip(LEGS, scores, strict=True)), signs)


def _legs(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Cosines of three views, three BM25 scores, then the six signs."""
    cosines, lexical = rng.normal(0.3, 0.15, (count, 3)), rng.gamma(2.0, 2.0, (count, 4))
    shares = rng.uniform(0, 1, (count, 3))
    centre, specific = rng.normal(0.3, 0.15, (count, 1)), rng.gamma(4.0, 1.0, (count, 1))
    return np.hstack([cosines, lexical, centre, shares, specific])


def _queries(count: int = 120, *, seed: int = 0) -> list[RankedQuery]:
    """Relevant candidates have higher cosines and BM25, with noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        legs = _legs(rng, 30)
        relevant = np.zeros(30, bool)
        relevant[rng.integers(30)] = True
        legs[relevant] += np.array([0.3, 0.2, 0.35, 3.0, 1.0, 3.0, 4.0, 0.3, 0.3, 0.3, 0.0, 0.0])
        found.append(RankedQuery(legs, relevant))
    return found


def test_rank_puts_the_faq_first_that_every_leg_prefers() -> None:
    weak, strong = _candidate("a", 0.2, 0.2, 0.2, 1, 1, 1), _candidate("b", 0.8, 0.6, 0.9, 9, 5, 9)
    hits = Ranker.load().rank(QUERY, [weak, strong])
    assert [hit.faq.id for hit in hits] == ["b", "a"]
    assert 0 <= hits[1].score < hits[0].score <= 1
    assert hits[0].scores == strong.scores


def test_rank_breaks_ties_by_id_and_accepts_nothing() -> None:
    same = (0.5, 0.5, 0.5, 2.0, 2.0, 2.0)
    hits = Ranker.load().rank(QUERY, [_candidate("b", *same), _candidate("a", *same)])
    assert [hit.faq.id for hit in hits] == ["a", "b"]
    assert Ranker.load().rank(QUERY, []) == []


def test_rank_keeps_probabilities_in_the_order_of_scores() -> None:
    rng = np.random.default_rng(1)
    for file in RANKING.glob("*.json"):
        ranker = Ranker.load(file)
        for _ in range(20):
            legs = _legs(rng, 40)
            scores = ranker.scores(legs)
            ordered = ranker.probabilities(scores)[np.argsort(-scores)]
            assert np.all(np.diff(ordered) <= 1e-12)


def test_rank_of_a_single_candidate_and_without_lexical_match_is_finite() -> None:
    hits = Ranker.load().rank(QUERY, [_candidate("a", 0.9, -1.0, -1.0, 0.0, 0.0, 0.0)])
    assert 0 <= hits[0].score <= 1


def test_features_let_the_question_speak_for_missing_views() -> None:
    legs = leg_matrix([_candidate("a", 0.7, -1.0, -1.0, 2.0, 0.0, 0.0)])
    row = dict(zip(FEATURES, features(legs)[0], strict=True))
    # Question and expansion at 0.7, the answer at its handicap below: a soft maximum of three.
    assert 0.7 < row["dense_pool"] < 0.7 + np.log(3) / 20
    assert row["dense_answer"] == pytest.approx(0.65)
    assert row["together"] == pytest.approx(1.0)


def test_portable_features_do_not_change_with_the_scale_of_cosines() -> None:
    rng = np.random.default_rng(2)
    legs = _legs(rng, 25)
    squeezed, cosines = legs.copy(), [0, 1, 2, len(LEGS) + SIGNS.index("centre")]
    squeezed[:, cosines] = 0.8 + 0.1 * legs[:, cosines]
    assert features(squeezed, portable=True) == pytest.approx(features(legs, portable=True))


def test_margins_measure_the_distance_to_the_others() -> None:
    assert margins(np.array([2.0, 0.0])) == pytest.approx([2.0, -2.0])
    assert margins(np.array([5.0])) == pytest.approx([30.0])
    assert 25 < margins(np.array([900.0, 0.0, 0.0]))[0] <= 30


def test_fit_ranker_learns_what_tells_relevant_from_not() -> None:
    weights = fit_ranker(_queries(), embedder="e5")
    found = ranks(Ranker(weights), _queries(seed=9))
    assert sum(rank == 1 for rank in found) / len(found) > 0.8


def test_fit_ranker_states_probabilities_that_hold_also_without_an_answer() -> None:
    unseen = _queries(300, seed=5)
    ranker = Ranker(fit_ranker(_queries(300), embedder="e5"))
    both = [*unseen, *map(without_answer, unseen[::10])]
    assert calibration_error(ranker, both) < 0.1
    best = [ranker.probabilities(ranker.scores(q.legs)).max() for q in unseen]
    lost = [ranker.probabilities(ranker.scores(without_answer(q).legs)).max() for q in unseen]
    assert np.mean(best) > np.mean(lost) + 0.3


def test_recalibration_makes_probabilities_hold_and_keeps_the_order() -> None:
    weights = fit_ranker(_queries(300), embedder="e5")
    shy = replace(weights, bias=weights.bias - 4)
    unseen = _queries(300, seed=5)
    mended = recalibrated(shy, _queries(300, seed=3))
    assert calibration_error(Ranker(mended), unseen) < 0.1 < calibration_error(Ranker(shy), unseen)
    assert mended.weights == weights.weights
    assert cross_validated_error(shy, unseen) < 0.1


def test_fit_ranker_refuses_queries_that_teach_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        fit_ranker([without_answer(query) for query in _queries(3)], embedder="e5")


def test_weights_survive_saving(tmp_path: Path) -> None:
    weights = fit_ranker(_queries(20), embedder="e5-small+abc")
    weights.save(tmp_path / "e5.json", card={"faqs": 20})
    weights.save(tmp_path / "portable.json", card={})
    assert Ranker.load(tmp_path / "e5.json").weights == weights
    assert Ranker.load(embedder="e5-small+abc", folder=tmp_path).weights == weights
    assert json.loads((tmp_path / "e5.json").read_text(encoding="utf-8"))["card"] == {"faqs": 20}


def test_load_takes_the_portable_weights_for_an_unknown_embedder() -> None:
    assert Ranker.load(embedder="bge-m3").weights.embedder == ""


def test_load_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    broken = tmp_path / "e5.json"
    broken.write_text('{"weights": {}}', encoding="utf-8")
    with pytest.raises(RankerError, match=r"e5\.json.*smartstore train-ranker"):
        Ranker.load(broken)


def test_fit_ranker_learns_from_labelled_questions_what_the_corpus_own_do_not_show() -> None:
    queries, labelled = _queries(200), _queries(40, seed=4)
    unnamed = len(LEGS) + SIGNS.index("unnamed")
    for query in labelled:
        query.legs[:, unnamed] = query.relevant
    alone = fit_ranker(queries, embedder="e5")
    mixed = fit_ranker(queries, embedder="e5", labelled=labelled)
    assert mixed.weights["unnamed"] > alone.weights["unnamed"] + 0.5


class Outspoken:
    """States the first number of each hit."""

    def scores(self, legs: NDArray[np.float32]) -> NDArray[np.float32]:
        return legs[:, 0]

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return scores


@pytest.mark.parametrize(
    ("stated", "error"),
    [([(0.9, True)] * 9 + [(0.9, False)], 0.0), ([(0.9, False), (0.1, True)], 0.9), ([(1.0, False)], 1.0)],
)
def test_calibration_error_is_how_far_what_is_stated_is_from_what_holds(
    stated: list[tuple[float, bool]], error: float
) -> None:
    queries = [RankedQuery(np.array([[p], [0.0]]), np.array([right, False])) for p, right in stated]
    assert calibration_error(Outspoken(), queries) == pytest.approx(error)


def test_fit_ranker_converges() -> None:
    """Weights that one query more, or the order of queries, would move are no minimum."""
    queries = _queries(200)
    there = fit_ranker(queries, embedder="e5").weights
    assert fit_ranker(queries[::-1], embedder="e5").weights == pytest.approx(there, rel=1e-6)


def test_cross_validated_figures_judge_no_question_by_weights_that_know_it() -> None:
    """Labels at random are learnt by heart, and worth nothing on questions left out."""
    rng = np.random.default_rng(3)
    random = [RankedQuery(_legs(rng, 5), rng.permutation(5) == 0) for _ in range(40)]
    known = figures(Ranker(fit_ranker(random[:1], embedder="e5", labelled=random)), random)
    unknown = cross_validated_figures(random[:1], random, embedder="e5")
    assert unknown["queries"] == 40
    assert unknown["recall@1"] <= known["recall@1"] - 0.05
