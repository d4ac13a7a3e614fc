from __future__ import annotations

import re

import numpy as np
import pytest

from classifier.evaluation.pairs import CONTRASTS, Pair, contrast_pairs, pair_accuracy, pair_figures
from classifier.records import GoldLabel
from tests.classifier.labelled import gold, sample
from tests.conftest import ROOT

ONCE = np.ones((1, 4))


def test_pairs_are_joined_by_their_id_and_the_incomplete_are_counted() -> None:
    def member(pair_id: str, number: int, side: str) -> GoldLabel:
        return gold(contrast={"number": number, "score": "peer_preservation", "side": side}, pair_id=pair_id)

    golds = [member("y", 10, "low"), gold(), member("x", 18, "high"), member("y", 10, "high"), member("x", 18, "high")]
    golds += [member("alone", 10, "high"), member("z", 10, "low"), member("z", 10, "low")]
    pairs, incomplete = contrast_pairs(golds)
    assert pairs == [Pair(2, 4, 18, "peer_preservation"), Pair(3, 0, 10, "peer_preservation")]
    assert incomplete == 2


def test_pair_accuracy_by_hand() -> None:
    pairs = [Pair(0, 1, 1, "x"), Pair(2, 3, 1, "x"), Pair(1, 0, 2, "x"), Pair(3, 1, 2, "x")]
    scores = {"x": np.array([0.9, 0.2, 0.4, 0.4])}  # won, tied (a miss), lost, won
    assert pair_accuracy(pairs, scores, ONCE)[0] == 0.5
    assert pair_accuracy(pairs, scores, np.array([[3.0, 1, 0, 1]]))[0] == pytest.approx(4 / 5)
    assert np.isnan(pair_accuracy([], scores, ONCE)[0])


def test_pair_figures_leave_the_style_contrast_out_and_fall_back_to_raw_scores() -> None:
    def pair(label: str, number: int, id: str) -> list[GoldLabel]:
        return [gold(contrast={"number": number, "score": label, "side": side}, pair_id=id) for side in ("high", "low")]

    golds = (
        pair("peer_preservation", 10, "a") + pair("peer_preservation", 18, "b") + pair("weight_exfiltration", 14, "c") + pair("?", 3, "d")
    )
    found = pair_figures(
        sample(golds, peer_preservation=[0.2, 0.3, 0.6, 0.9, 0, 0, 0, 0]), {"weight_exfiltration": np.array([0, 0, 0, 0, 2, -2, 0, 0])}
    )
    assert (found.n, found.accuracy.value, found.raw, found.left_out) == (2, 0.5, 1, 1)
    assert [found.style_pairs, found.style_shift] == pytest.approx([1, 0.3])
    assert {number: rate.hits for number, rate in found.contrasts.items()} == {"10": 0, "14": 1}


def test_contrasts_are_those_of_the_codebook() -> None:
    codebook = (ROOT / "docs" / "codebook.md").read_text(encoding="utf-8")
    for number, name in CONTRASTS.items():
        start = name.replace("“", '"').split()[0]
        assert re.search(rf"\b{number} \*?{re.escape(start)}", codebook), name
