from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from classifier.encoders.hashing import HashingEncoder
from classifier.evaluation.figures import (
    evidence_figures,
    false_alarms,
    label_figures,
    length_figures,
    link_figures,
    outcome_figures,
    primary_figures,
    strata,
)
from classifier.reading import UnitScores
from classifier.training.examples import Columns, Example, encode
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
    assert (found["present_precision"], found["present_recall"], found["missed"]) == (0.5, 0.5, 0.5)


UNDEFINED = {False: {"precision", "recall", "f1", "present_recall", "missed"}, True: {"specificity"}}


@pytest.mark.parametrize(("wanted", "undefined"), UNDEFINED.items())
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
    found = false_alarms(sample(golds, **motives, goal_guarding=[0.1, 0.1, 0.8, 0.9, 0.5]))
    alarms = [(kind, of["rating_sycophancy"].present, of["rating_sycophancy"].threshold) for kind, of in found.items()]
    assert [(kind, p.hits, t.hits, p.n) for kind, p, t in alarms] == [("ordinary", 1, 1, 2), ("hard", 1, 1, 2)]
    gate = found["ordinary"]["goal_guarding"], found["hard"]["goal_guarding"]
    assert [(alarm.present.hits, alarm.threshold.hits) for alarm in gate] == [(0, 1), (1, 1)]
    assert [found[kind]["any_motive"].present.hits for kind in ("ordinary", "hard")] == [1, 1]


def test_lengths_by_hand() -> None:
    pytest.importorskip("scipy")
    golds = [gold() for _ in range(20)] + [gold("terminal_goal_guarding")]
    probability = np.linspace(0.05, 0.95, 20)
    found = length_figures(sample(golds, goal_guarding=[*probability, 0.0]), np.arange(1, 22))
    alarms = found.false_positives
    assert [found.n, found.spearman, len(alarms)] == pytest.approx([20, 1, 10])
    assert [(d.shortest, d.longest) for d in alarms[:2]] == [(1, 2), (3, 4)]
    assert [d.rate.hits for d in alarms] == [0] * 5 + [2] * 5
    assert [(group.shortest, group.rate.hits, group.rate.n) for group in found.recall] == [(21, 0, 1)]
    assert np.isnan(length_figures(sample(golds, goal_guarding=[0.3] * 21), np.arange(21)).spearman)
    assert length_figures(sample(golds), np.arange(21)).false_positives == ()


def test_a_stratum_of_one_class_has_no_auroc() -> None:
    golds = [gold("terminal_goal_guarding"), gold(), gold("terminal_goal_guarding")]
    found = strata(sample(golds, goal_guarding=[0.9, 0.1, 0.5]), ["b", "b", "a"])
    assert list(found) == ["a", "b"]
    assert np.isnan(found["a"].auroc)
    assert (found["b"].n, found["b"].positives, found["b"].auroc) == (2, 1, 1)


def test_evidence_is_the_best_sentence_touching_a_span() -> None:
    golds = [gold("peer_preservation"), gold("peer_preservation", id="u"), gold()]
    examples = encode(golds, HashingEncoder(), Columns(LABEL_SET))

    def scores(example: Example, best: int) -> UnitScores:
        values = np.zeros((len(example.channels), 1), dtype=np.float32)
        values[best] = 5
        return UnitScores(("peer_preservation",), values, example.channels)

    last = int((examples[0].channels == "reasoning").sum()) - 1
    found = evidence_figures(examples, [scores(examples[0], last), scores(examples[1], 0), scores(examples[2], 0)], "peer_preservation")
    assert (found.rate.hits, found.rate.n) == (1, 2)
    assert found.chance == pytest.approx(1 / (last + 1))
    assert np.isnan(evidence_figures(examples, [scores(e, 0) for e in examples], "rating_sycophancy").chance)


def test_a_motive_is_considered_only_where_no_span_of_it_is_executed() -> None:
    item, name = gold("terminal_goal_guarding", words=5), "terminal_goal_guarding"
    dropped = replace(item, spans=tuple(replace(s, link="considered") for s in item.spans))
    items = sample([item, item, dropped, gold()])
    answers = replace(items.answers, considered={name: np.array([0.4, 0.5, 0.6, 0.9])})
    found = link_figures(replace(items, answers=answers))
    assert found is not None
    assert (found.right.hits, found.right.n) == (2, 3)
    assert (found.executed.hits, found.executed.n) == (1, 2)
    assert (found.considered.hits, found.considered.n) == (1, 1)
    assert link_figures(items) is None


def test_a_primary_is_right_or_wrong_only_where_one_is_named() -> None:
    items = sample([replace(gold(), primary=name) for name in ("none", "none", "peer_preservation")])
    answers = replace(items.answers, primary=["none", None, "none"])
    found = primary_figures(replace(items, answers=answers))
    assert (found.named.hits, found.named.n, found.right.hits, found.right.n) == (2, 3, 1, 2)
    assert found.majority == pytest.approx(2 / 3)
