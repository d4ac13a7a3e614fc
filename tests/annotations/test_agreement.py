from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.agreement import ac1, agreements, alpha, main
from classifier.labels import LabelSet
from tests.classifier.conftest import LABELS

ONE = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
OTHER = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
NAMES = LabelSet.load(LABELS)


def counts(*raters: list[int]) -> tuple[Any, Any]:
    return np.sum(raters, axis=0), np.full(len(raters[0]), len(raters))


def test_alpha_of_the_published_example() -> None:
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section A: binary data, two observers.
    assert alpha(np.ones((1, 10)), *counts(ONE, OTHER))[0] == pytest.approx(0.095, abs=0.0005)


def test_agreement_is_one_where_all_agree_and_undefined_where_nothing_varies() -> None:
    assert alpha(np.ones((1, 10)), *counts(ONE, ONE, ONE))[0] == 1
    assert ac1(np.ones((1, 10)), *counts(ONE, ONE))[0] == 1
    assert np.isnan(alpha(np.ones((1, 3)), *counts([0, 0, 0], [0, 0, 0]))[0])


def test_ac1_by_hand() -> None:
    # 6 of 10 agree; 6 of 20 votes are for it: chance is 2 * 0.3 * 0.7.
    assert ac1(np.ones((1, 10)), *counts(ONE, OTHER))[0] == pytest.approx((0.6 - 0.42) / (1 - 0.42))


def test_weights_are_resamples() -> None:
    twice = alpha(np.array([[2.0, 0.0]]), np.array([1, 2]), np.array([2, 2]))
    assert twice[0] == alpha(np.ones((1, 2)), np.array([1, 1]), np.array([2, 2]))[0] < 0


def vote(*spans: tuple[str, int, int], outcome: str = "compliance") -> dict[str, Any]:
    marked = [{"channel": "reasoning", "start": start, "end": end, "label": label, "link": None} for label, start, end in spans]
    attributes = {"training_awareness": "used" if spans else "restated"}
    return {"spans": marked, "labels": [label for label, _, _ in spans], "outcome": outcome, "attributes": attributes}


def items() -> list[dict[str, Any]]:
    same, apart = ("terminal_goal_guarding", 0, 9), ("instrumental_goal_guarding", 20, 30)
    return [
        {"scenario": "a", "votes": [vote(same), vote(same)]},
        {"scenario": "b", "votes": [vote(), vote(outcome="refusal")]},
        {"scenario": "b", "votes": [vote(same), vote(apart)]},
        {"scenario": "c", "votes": [vote(), {**vote(same), "blind": False}]},
    ]


def test_labels_attributes_outcomes_and_spans_are_compared() -> None:
    found = agreements(items(), NAMES, resamples=20)
    assert found["goal_guarding"].n == 3
    assert found["goal_guarding"].alpha.value == found["training_awareness"].alpha.value == 1
    assert found["terminal_goal_guarding"].alpha.value < 1
    assert (found["goal_guarding"].overlap, found["terminal_goal_guarding"].overlap) == (0.5, 1)
    assert found["refusal"].rate == pytest.approx(1 / 6)
    assert np.isnan(found["peer_preservation"].alpha.value)
    assert agreements(items()[3:], NAMES) == {}


def test_the_table_names_every_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items()))
    assert main(["--corpus", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("3 items of 4 have two votes or more.")
    assert "| goal_guarding | 0.667 | 1.00 [" in shown
    assert "| peer_preservation | 0.000 | – | 1.00 [" in shown
