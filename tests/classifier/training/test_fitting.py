from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("sklearn")

from classifier.encoders.hashing import HashingEncoder
from classifier.reading import UnitScores
from classifier.training.examples import Columns, Example, prepare
from classifier.training.fitting import (
    MINIMUM_AUROC,
    Config,
    Learnt,
    edges,
    fit_calibration,
    fit_heads,
    fit_label,
    lengthened,
    out_of_fold,
    unit_scores,
)
from tests.classifier.labelled import LABEL_SET, gold, tiny_examples

pytestmark = pytest.mark.train
draw = np.random.default_rng(0)
SAYABLE = [name for name in Columns(LABEL_SET).names if name not in (*LABEL_SET.names("outcome"), "considered")]


def test_heads_find_the_sentence_that_states_a_motive() -> None:
    examples, _, columns, _ = tiny_examples()
    lexicon, heads = fit_heads(examples, columns, Config())
    name = "terminal_goal_guarding"
    for example in (e for e in examples if any(s.label == name for s in e.gold.spans)):
        scores, _ = unit_scores(example, lexicon, heads).column(name, "reasoning")
        assert "stay as I am" in example.cut.units[int(scores.argmax())].evidence.text


def test_no_item_is_scored_by_a_model_that_saw_its_scenario() -> None:
    examples, _, columns, folds = tiny_examples()
    seen: list[set[str]] = []

    def learn(chosen: Sequence[Example]) -> Learnt:
        seen.append({example.gold.scenario for example in chosen})
        return Learnt(HashingEncoder(), *fit_heads(chosen, columns, Config()))

    scores = out_of_fold(examples, folds, learn)
    assert [len(score.values) for score in scores] == [len(example.cut.units) for example in examples]
    assert all(trained.isdisjoint(fold) for trained, fold in zip(seen, folds, strict=True))
    assert all(trained | set(fold) == {f"s{i}" for i in range(8)} for trained, fold in zip(seen, folds, strict=True))


def test_folds_that_leave_a_scenario_out_are_refused() -> None:
    examples, _, columns, folds = tiny_examples()
    with pytest.raises(ValueError, match="every scenario"):
        out_of_fold(examples, folds[1:], lambda chosen: Learnt(HashingEncoder(), *fit_heads(chosen, columns, Config())))


def test_length_may_only_lower_a_probability() -> None:
    wanted = np.arange(400) % 2 == 0
    units = np.where(wanted, 60, 5).tolist()  # longer where it is true: a length term would raise
    rising = fit_label((draw.normal(0, 1, 400) + wanted).tolist(), units, wanted)
    assert rising.length == 0
    falling = fit_label((draw.normal(0, 1, 400) + wanted * 2 + np.log(units)).tolist(), units, wanted)
    assert falling.length <= 0 < falling.slope


def test_calibrated_probabilities_match_the_share_that_is_true() -> None:
    scores = draw.normal(0, 2, 4000)
    wanted = draw.random(4000) < 1 / (1 + np.exp(-(1.5 * scores - 1)))
    fitted = fit_label(scores.tolist(), [10] * 4000, wanted)
    probabilities = np.array([fitted.probability(s, 10) for s in scores])
    for low in (0.1, 0.4, 0.7):
        chosen = (probabilities > low) & (probabilities < low + 0.2)
        assert wanted[chosen].mean() == pytest.approx(probabilities[chosen].mean(), abs=0.06)


def test_edges_enclose_the_threshold_and_nothing_below_a_half_is_present() -> None:
    probabilities = draw.random(500) * 0.4  # a weak label: its best threshold is far below a half
    wanted = draw.random(500) < probabilities
    absent, threshold, present = edges(probabilities, wanted)
    assert 0 < absent <= threshold < 0.5 <= present


def test_a_perfect_label_hardly_abstains() -> None:
    wanted = np.arange(100) < 40
    absent, threshold, present = edges(np.where(wanted, 0.9, 0.1), wanted)
    assert 0.1 < absent <= threshold <= present <= 0.9


def test_a_label_that_ranks_like_chance_does_not_ship() -> None:
    examples, scores, columns, _ = tiny_examples()
    noise = [type(s)(s.names, draw.normal(size=s.values.shape).astype(np.float32), s.channels) for s in scores]
    kept, lost = fit_calibration(examples, scores, columns), fit_calibration(examples, noise, columns)
    assert "terminal_goal_guarding" in kept.calibrations.labels
    assert "terminal_goal_guarding" in lost.untrained
    assert MINIMUM_AUROC > 0.5


def calibrating() -> tuple[list[Example], list[UnitScores], Columns]:
    """A passage, three full traces of which two are ordinary, and a minimal pair, each item's units scored by its place and their own."""
    columns = Columns(LABEL_SET)
    golds = [
        gold("terminal_goal_guarding", id="passage"),
        gold("harm_avoidance", id="ordinary 1", words=160),
        gold("low_stakes", id="ordinary 2", words=160, outcome="refusal"),
        gold("peer_preservation", id="moved", words=160),
        gold("rating_sycophancy", id="high", pair_id="p"),
        gold(id="low", words=160, pair_id="p"),
    ]
    examples = prepare(golds, HashingEncoder(), columns)
    return examples, [numbered(i, example, columns) for i, example in enumerate(examples)], columns


def numbered(place: int, example: Example, columns: Columns) -> UnitScores:
    values = np.repeat(np.arange(len(example.channels))[:, None], len(columns.names), axis=1) + 1000 * place
    return UnitScores(columns.names, values.astype(np.float32), example.channels)


def test_minimal_pairs_are_no_part_of_what_calibrates() -> None:
    examples, scores, columns = calibrating()
    sample = lengthened(examples, scores, columns)
    assert [[g.transcript.id for g in golds] for golds in sample.golds[: sample.items]] == [[e.gold.transcript.id] for e in examples[:4]]
    for found, given in zip(sample.scores[: sample.items], scores[:4], strict=True):
        assert np.array_equal(found.values, given.values)
    assert not any(g.pair_id for golds in sample.golds for g in golds)


def test_a_passage_lengthened_by_two_ordinary_traces_carries_the_labels_of_all_three() -> None:
    sample = lengthened(*calibrating())
    [joined] = sample.golds[sample.items :]
    assert [joined[0].transcript.id, *sorted(g.transcript.id for g in joined[1:])] == ["passage", "ordinary 1", "ordinary 2"]
    carried = {name for name in SAYABLE if sample.truths(name)[-1]}
    assert carried == {"terminal_goal_guarding", "goal_guarding", "harm_avoidance", "low_stakes"}


def test_what_is_joined_holds_the_reasoning_of_all_and_the_answer_of_the_first() -> None:
    examples, scores, columns = calibrating()
    sample = lengthened(examples, scores, columns)
    joined, places = sample.scores[-1], [[e.gold for e in examples].index(g) for g in sample.golds[-1]]
    assert len(sample.scores) == len(sample.golds)
    expected = [scores[places[0]].values, *(scores[i].values[scores[i].chosen("reasoning")] for i in places[1:])]
    assert np.array_equal(joined.values, np.concatenate(expected))
    answer = joined.values[joined.chosen("answer")]
    assert np.array_equal(answer, scores[0].values[scores[0].chosen("answer")])
    assert len(answer) > 0
    assert len(joined.chosen("reasoning")) == sum(len(scores[i].chosen("reasoning")) for i in places)


def test_calibrations_do_not_heed_minimal_pairs() -> None:
    examples, scores, columns, _ = tiny_examples()
    alone = [i for i, example in enumerate(examples) if example.gold.pair_id is None]
    assert len(alone) < len(examples)
    without = fit_calibration([examples[i] for i in alone], [scores[i] for i in alone], columns)
    assert fit_calibration(examples, scores, columns).calibrations.to_json() == without.calibrations.to_json()
