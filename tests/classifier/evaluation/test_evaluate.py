from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from classifier.evaluation.baselines import MEAN, TFIDF
from classifier.evaluation.evaluate import cross_fit, evaluate, evaluate_shipped
from classifier.training.examples import scenario_folds
from classifier.training.fitting import fit_calibration
from tests.classifier.labelled import SAYS, tiny_evaluation, tiny_examples

pytestmark = pytest.mark.train


def test_calibration_never_saw_the_scenario() -> None:
    examples, scores, columns, _ = tiny_examples()
    held = scenario_folds(examples, 4, 0)[0]
    flipped = [
        replace(e, gold=replace(e.gold, spans=(), attributes={}, outcome="refusal")) if e.gold.scenario in held else e for e in examples
    ]
    before, after = (cross_fit(chosen, scores, columns, tuple(SAYS), 4, 0) for chosen in (examples, flipped))
    own = np.array([example.gold.scenario in held for example in examples])
    assert (before.outcome[own] == after.outcome[own]).all()
    assert (before.outcome[~own] != after.outcome[~own]).any()
    shared = before.labels.keys() & after.labels.keys()
    assert shared
    for name in shared:
        assert (before.labels[name][own] == after.labels[name][own]).all()


def test_evaluate_finds_what_stands_in_the_text() -> None:
    found = tiny_evaluation()
    assert (found.unseen.n, found.full_traces.n, found.unseen.scenarios, found.unscored) == (104, 96, 8, 0)
    assert found.unseen.macro_auroc.value > 0.95
    assert found.unseen.labels["alignment_faking"].figures["auroc"].value > 0.8
    assert "weight_exfiltration" in found.untrained
    assert (found.pairs.n, found.pairs.accuracy.value) == (4, 1)
    assert found.evidence["peer_preservation"].rate.value > 0.9
    assert list(found.unseen.baselines) == [TFIDF, MEAN]
    assert found.unseen.baselines[TFIDF].macro_auroc.value > 0.9
    assert found.label_origin == {"language model, author of the text": 104}


def test_the_same_items_and_seed_give_the_same_evaluation() -> None:
    assert evaluate(*tiny_examples(), resamples=50, groups=4).to_json() == tiny_evaluation().to_json()


def test_an_evaluation_is_json_with_null_for_the_undefined() -> None:
    text = json.dumps(tiny_evaluation().to_json(), allow_nan=False)
    assert json.loads(text)["pairs"]["style_shift"] is None


def test_too_few_items_leave_figures_out_instead_of_crashing() -> None:
    examples, scores, columns, folds = tiny_examples()
    chosen = [i for i, example in enumerate(examples) if example.gold.scenario in {"s0", "s1"}]
    found = evaluate([examples[i] for i in chosen], [scores[i] for i in chosen], columns, folds, resamples=5)
    assert not found.unseen.labels
    assert np.isnan(found.unseen.macro_auroc.value)
    assert found.pairs.raw == found.pairs.n == 2


def test_items_without_reasoning_are_counted_not_scored() -> None:
    examples, scores, columns, folds = tiny_examples()
    silent = replace(scores[0], channels=np.array(["answer"] * len(scores[0].channels)))
    example = replace(examples[0], channels=silent.channels)
    found = evaluate([example, *examples[1:]], [silent, *scores[1:]], columns, folds, resamples=5, groups=2)
    assert (found.unscored, found.unseen.n) == (1, 103)


def test_the_model_as_it_ships_is_measured_on_scenarios_that_it_never_saw() -> None:
    examples, scores, columns, _ = tiny_examples()
    held = [example.gold.scenario in {"s6", "s7"} for example in examples]
    learnt = [example for example, out in zip(examples, held, strict=True) if not out]
    test = [example for example, out in zip(examples, held, strict=True) if out]
    own = [score for score, out in zip(scores, held, strict=True) if out]
    fitted = fit_calibration(learnt, [score for score, out in zip(scores, held, strict=True) if not out], columns).calibrations
    found = evaluate_shipped(learnt, test, own, columns, fitted, resamples=5)
    assert (found.split, found.unseen.n, found.unseen.scenarios) == ("test", len(test), 2)
    assert found.unseen.macro_auroc.value > 0.9
    assert found.unseen.baselines[TFIDF].macro_auroc.value > 0.9
    with pytest.raises(ValueError, match="a scenario is among"):
        evaluate_shipped(examples, test, own, columns, fitted)


def test_scores_and_folds_must_fit_the_examples() -> None:
    examples, scores, columns, folds = tiny_examples()
    with pytest.raises(ValueError, match="out-of-fold scores"):
        evaluate(examples, scores[1:], columns, folds)
    with pytest.raises(ValueError, match="out-of-fold scores"):
        evaluate(examples, [scores[1], scores[0], *scores[2:]], columns, folds)
    with pytest.raises(ValueError, match="a fold"):
        evaluate(examples, scores, columns, folds[1:])
    alone = [i for i, example in enumerate(examples) if example.gold.scenario == "s0"]
    with pytest.raises(ValueError, match="another scenario"):
        evaluate([examples[i] for i in alone], [scores[i] for i in alone], columns, folds)
