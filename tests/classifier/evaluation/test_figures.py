from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from classifier.encoders.hashing import HashingEncoder
from classifier.evaluation.figures import (
    evidence_figures,
    false_positives,
    label_figures,
    length_figures,
    link_figures,
    outcome_figures,
    strata,
)
from classifier.pipeline import UnitScores
from classifier.training.examples import Columns, Example, encode, prepare
from tests.classifier.labelled import LABEL_SET, gold, sample

ONCE = np.ones((1, 4))


def value(weights: Any, answers: list[list[float]], wanted: list[bool]) -> dict[str, float]:
    return {name: e.value for name, e in label_figures(weights, np.array(answers), np.array(wanted)).figures.items()}


def test_label_figures_by_hand() -> None:
    # Called: the first, third and fourth. Abstained: the third, which lies between its edges.
    answers = [[0.9, 0.2, 0.5, 0.7], [0.1, 0.2, 0.5, 0.7], [0.6, 0.2, 0.5, 0.7], [0.8, 0.2, 0.5, 0.7]]
    found = value(ONCE, answers, [True, True, False, False])
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == 0.5
    assert found["f1"] == pytest.approx(0.4)
    assert found["specificity"] == 0
    assert found["g_mean_squared"] == 0
    assert found["auroc"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.81 + 0.36 + 0.64) / 4)
    assert found["abstained"] == 0.25
    assert found["error"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("wanted", "undefined"), [(False, {"precision", "recall", "f1"}), (True, {"specificity"})])
def test_a_label_of_one_class_is_null_where_it_is_undefined(wanted: bool, undefined: set[str]) -> None:
    found = value(ONCE, [[0.9, 0.2, 0.5, 0.7]] * 4, [wanted] * 4)
    ranked = {"auroc", "average_precision", "recall_at_fpr_1", "g_mean_squared"}
    assert {name for name, figure in found.items() if np.isnan(figure)} == undefined | ranked


def test_outcomes_by_hand() -> None:
    answers = np.array([[0.8, 0.05, 0.05, 0.05, 0.05], [0.6, 0.1, 0.1, 0.1, 0.1], [np.nan] * 5, [0.2] * 5])
    found = outcome_figures(ONCE, answers, ["compliance", "refusal", "compliance", "na"], LABEL_SET)
    assert found is not None
    assert (found.n, found.accuracy.value, found.majority) == (2, 0.5, 0.5)
    assert found.log_loss.value == pytest.approx(-(np.log(0.8) + np.log(0.1)) / 2)
    assert found.confusion["refusal"]["compliance"] == 1
    assert outcome_figures(ONCE[:, :1], answers[2:3], ["compliance"], LABEL_SET) is None


def test_false_positives_tell_ordinary_from_hard_items() -> None:
    golds = [gold(), gold("restatement"), gold("training_awareness"), gold("peer_preservation"), gold()]
    motives = {name: [0.0] * 5 for name in LABEL_SET.names("motive")} | {"rating_sycophancy": [0.9, 0.9, 0.1, 0.9, 0.1]}
    found = false_positives(sample(golds, **motives, goal_guarding=[0.1, 0.1, 0.8, 0.9, 0.5]))
    assert [(kind, rate["rating_sycophancy"].hits, rate["rating_sycophancy"].n) for kind, rate in found.items()] == [
        ("ordinary", 1, 2),
        ("hard", 1, 2),
    ]
    assert (found["ordinary"]["goal_guarding"].hits, found["hard"]["goal_guarding"].hits) == (1, 1)
    assert (found["ordinary"]["any_motive"].hits, found["hard"]["any_motive"].hits) == (1, 1)


def test_lengths_by_hand() -> None:
    pytest.importorskip("scipy")
    golds = [gold() for _ in range(20)] + [gold("terminal_goal_guarding")]
    probability = np.linspace(0.05, 0.95, 20)
    found = length_figures(sample(golds, goal_guarding=[*probability, 0.0]), np.arange(1, 22))
    assert [found.n, found.spearman, len(found.deciles)] == pytest.approx([20, 1, 10])
    assert [(d.shortest, d.longest) for d in found.deciles[:2]] == [(1, 2), (3, 4)]
    assert [d.rate.hits for d in found.deciles] == [0] * 5 + [2] * 5
    assert np.isnan(length_figures(sample(golds, goal_guarding=[0.3] * 21), np.arange(21)).spearman)
    assert length_figures(sample(golds), np.arange(21)).deciles == ()


def test_a_stratum_of_one_class_has_no_auroc() -> None:
    golds = [gold("terminal_goal_guarding"), gold(), gold("terminal_goal_guarding")]
    found = strata(sample(golds, goal_guarding=[0.9, 0.1, 0.5]), ["b", "b", "a"])
    assert list(found) == ["a", "b"]
    assert np.isnan(found["a"].auroc)
    assert (found["b"].n, found["b"].positives, found["b"].auroc) == (2, 1, 1)


def test_evidence_is_the_best_unit_touching_a_span() -> None:
    golds = [gold("peer_preservation"), gold("peer_preservation", id="u"), gold()]
    examples = encode(golds, HashingEncoder(), Columns(LABEL_SET))

    def scores(example: Example, best: int) -> UnitScores:
        values = np.zeros((len(example.channels), 1), dtype=np.float32)
        values[best] = 1
        return UnitScores(("peer_preservation",), values, example.channels)

    last = int((examples[0].channels == "reasoning").sum()) - 1
    found = evidence_figures(examples, [scores(examples[0], last), scores(examples[1], 0), scores(examples[2], 0)], "peer_preservation")
    assert (found.rate.hits, found.rate.n) == (1, 2)
    assert found.chance == pytest.approx(1 / (last + 1))
    assert np.isnan(evidence_figures(examples, [scores(e, 0) for e in examples], "rating_sycophancy").chance)


def test_a_motive_is_considered_only_where_no_span_of_it_is_executed() -> None:
    item, name = gold("terminal_goal_guarding", words=5), "terminal_goal_guarding"
    (example,) = prepare([item], HashingEncoder(), Columns(LABEL_SET))
    names = (name, "considered")
    best = len(example.cut.units) - 2  # the sentence that states it; the last unit is the answer

    def scores(considered: float) -> UnitScores:
        values = np.zeros((len(example.cut.units), 2), dtype=np.float32)
        values[best] = (5, considered)
        return UnitScores(names, values, example.channels)

    dropped = replace(example, gold=replace(item, spans=tuple(replace(s, link="considered") for s in item.spans)))
    found = link_figures([example, example, dropped], [scores(-1), scores(1), scores(1)], [name])
    assert (found.right.hits, found.right.n) == (2, 3)
    assert (found.executed.hits, found.executed.n) == (1, 2)
    assert (found.considered.hits, found.considered.n) == (1, 1)
