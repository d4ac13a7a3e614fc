from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.calibration import Calibration, OutcomeModel, all_of, any_of, log_odds, sigmoid

FLAT = Calibration(slope=1, length=-0.5, longest=100, offset=0, absent=0.2, threshold=0.5, present=0.8)


@given(st.floats(-1e6, 1e6), st.integers(0, 10**6))
def test_probabilities_are_probabilities(score: float, units: int) -> None:
    assert 0 < FLAT.probability(score, units) < 1


def test_length_takes_back_what_length_adds() -> None:
    assert FLAT.probability(1, 1) == pytest.approx(sigmoid(1))
    assert FLAT.probability(1, 100) == pytest.approx(sigmoid(1 - 0.5 * math.log(100)))


@pytest.mark.parametrize(("probability", "decision"), [(0.19, "absent"), (0.2, "abstain"), (0.79, "abstain"), (0.8, "present")])
def test_between_the_edges_it_abstains(probability: float, decision: str) -> None:
    assert FLAT.decide(probability) == decision


def test_beyond_the_longest_seen_length_takes_back_no_more() -> None:
    assert FLAT.probability(1, 10_000) == FLAT.probability(1, 100)


def test_a_present_of_one_is_never_reached() -> None:
    assert replace(FLAT, present=1.0).decide(FLAT.probability(1e9, 1)) == "abstain"


def test_all_of_and_any_of_are_the_log_odds_of_independent_events() -> None:
    assert sigmoid(all_of([0.9, 0.1])) == pytest.approx(0.09)
    assert sigmoid(any_of([0.9, 0.1])) == pytest.approx(0.91)
    assert sigmoid(log_odds(0.3)) == pytest.approx(0.3)
    assert all_of([0.99, 0.99]) > 0 > any_of([0.1, 0.1])  # neither is bounded by what a sum of logarithms could reach
    assert all(math.isfinite(score) for score in (all_of([0.0, 1.0]), any_of([0.0, 1.0]), all_of([1.0]), any_of([0.0])))


def test_outcome_probabilities_add_up_and_round_trip() -> None:
    model = OutcomeModel(("a", "b"), np.array([[1.0, -1.0]]), np.array([0.0, 0.5]))
    probabilities = model.probabilities(np.array([2.0]))
    assert sum(probabilities.values()) == pytest.approx(1)
    assert OutcomeModel.from_json(json.loads(json.dumps(model.to_json()))).probabilities(np.array([2.0])) == probabilities
