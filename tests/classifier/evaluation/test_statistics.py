from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation.statistics import Estimate, Rate, calibration_error, curve, ranking, resample


def test_wilson_interval_by_hand() -> None:
    half, none = Rate.of(np.array([True] * 5 + [False] * 5)), Rate.of(np.zeros(10, dtype=bool))
    assert (half.hits, half.n, half.value) == (5, 10, 0.5)
    assert [half.low, half.high] == pytest.approx([0.2366, 0.7634], abs=1e-4)
    assert [none.low, none.high] == pytest.approx([0, 3.8415 / 13.8415], abs=1e-4)  # z² / (n + z²)
    assert np.isnan(Rate.of(np.zeros(0, dtype=bool)).value)


def test_an_estimate_drops_undefined_resamples_and_counts_them() -> None:
    found = Estimate.of(np.array([0.5, np.nan, 0.4, 0.4, 0.4]))
    assert found == Estimate(0.5, 0.4, 0.4, 1)
    undefined = Estimate.of(np.array([np.nan, 0.4]))
    assert np.isnan([undefined.value, undefined.low, undefined.high]).all()


def test_calibration_error_by_hand() -> None:
    # One item a bin: the mean of |probability - truth|.
    alone = np.arange(15) / 50
    assert calibration_error(np.ones((1, 15)), alone, np.zeros(15, dtype=bool))[0] == pytest.approx(0.14)
    # Two a bin: seven bins 0.2 above, seven 0.2 below, and the middle one, which holds one of each, exactly right.
    probability, wanted = np.repeat([0.2, 0.8], 15), np.repeat([False, True], 15)
    assert calibration_error(np.ones((1, 30)), probability, wanted)[0] == pytest.approx(14 * 2 * 0.2 / 30)


def test_ranking_agrees_with_scikit_learn_on_weighted_ties() -> None:
    pytest.importorskip("sklearn")
    from sklearn.metrics import average_precision_score, roc_auc_score

    draw = np.random.default_rng(0)
    score, wanted = draw.integers(0, 8, 60) / 8, draw.random(60) < 0.4
    weights = draw.integers(0, 4, (5, 60)).astype(float)
    found = ranking(weights, score, wanted)
    for row, weight in enumerate(weights):
        assert found["auroc"][row] == pytest.approx(roc_auc_score(wanted, score, sample_weight=weight))
        assert found["average_precision"][row] == pytest.approx(average_precision_score(wanted, score, sample_weight=weight))


def test_recall_at_one_percent_false_positives_by_hand() -> None:
    score = np.concatenate([[0.9, 0.8, 0.7, 0.1], [0.75, 0.72], np.zeros(98)])
    wanted = np.arange(104) < 4
    # One of 100 negatives may stand above the threshold: the two positives above the first negative, but not the third below both.
    assert ranking(np.ones((1, 104)), score, wanted)["recall_at_fpr_1"][0] == 0.5


def test_perfect_reversed_and_random_scores() -> None:
    wanted = np.random.default_rng(0).random(2000) < 0.3
    once = np.ones((1, 2000))
    perfect, reverse = ranking(once, wanted.astype(float), wanted), ranking(once, -wanted.astype(float), wanted)
    assert {name: values[0] for name, values in perfect.items()} == {"auroc": 1, "average_precision": 1, "recall_at_fpr_1": 1}
    assert reverse["auroc"][0] == 0
    random = ranking(once, np.random.default_rng(1).random(2000), wanted)
    assert random["auroc"][0] == pytest.approx(0.5, abs=0.03)
    assert random["average_precision"][0] == pytest.approx(0.3, abs=0.03)


def test_resamples_draw_whole_scenarios_and_depend_on_the_seed_alone() -> None:
    scenarios = ["a", "b", "a", "c"]
    weights = resample(scenarios, 100, seed=3)
    assert weights.shape == (101, 4)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (weights == resample(scenarios, 100, seed=3)).all()
    assert (weights != resample(scenarios, 100, seed=4)).any()


def test_curves_hold_equal_bins_and_precision_where_recall_rises() -> None:
    found = curve(np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, False, True, False]))
    assert (list(found.probability), list(found.share)) == ([0.2, 0.4, 0.8, 0.9], [0, 1, 0, 1])
    assert (list(found.recall), list(found.precision)) == ([0.5, 1], [1, pytest.approx(2 / 3)])
    assert curve(np.array([0.5, 0.6]), np.zeros(2, dtype=bool)).recall == []
