from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from classifier.bundle import BundleError
from classifier.reading import UnitScores
from classifier.records import GoldLabel
from classifier.training.out_of_fold import OutOfFold, corpus_sha256
from tests.classifier.labelled import gold

NAMES = ("rating_sycophancy", "goal_guarding")
GOLDS = [
    gold("terminal_goal_guarding", id="straße-日本 \N{ROCKET}\n2", scenario="a"),
    gold(id="one unit", scenario="b"),
    gold("peer_preservation", id='"quoted", \\', scenario="ü"),
]


def scored(*channels: str, seed: int = 0) -> UnitScores:
    values = np.random.default_rng(seed).normal(0, 8, (len(channels), len(NAMES))).astype(np.float32)
    return UnitScores(NAMES, values, np.array(channels))


def record(golds: Sequence[GoldLabel] = GOLDS) -> OutOfFold:
    scores = (scored("reasoning", "reasoning", "answer"), scored("reasoning", seed=1), scored("reasoning", "tool_call", seed=2))
    return OutOfFold(tuple(g.transcript.id for g in golds), corpus_sha256(golds), (("a", "ü"), ("b",)), scores)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = record()
    saved.save(tmp_path / "scores.safetensors")
    found = OutOfFold.load(tmp_path / "scores.safetensors")
    assert (found.ids, found.corpus_sha256, found.folds) == (saved.ids, saved.corpus_sha256, saved.folds)
    for now, then in zip(found.scores, saved.scores, strict=True):
        assert now.names == then.names
        assert now.channels.tolist() == then.channels.tolist()
        assert now.values.dtype == np.float32
        np.testing.assert_allclose(now.values, then.values, rtol=2**-11)


def test_the_file_holds_the_scores_in_two_bytes_each(tmp_path: Path) -> None:
    record().save(tmp_path / "scores.safetensors")
    with safe_open(tmp_path / "scores.safetensors", framework="np") as file:
        assert (file.get_tensor("values").dtype, file.get_tensor("values").shape) == (np.float16, (6, 2))


def test_ids_are_unique_and_each_has_its_scores() -> None:
    with pytest.raises(ValueError, match="an id of its own"):
        replace(record(), ids=("x", "x", "y"))
    with pytest.raises(ValueError, match="its scores"):
        replace(record(), ids=("x", "y"))


@pytest.mark.parametrize("keep", [0, 8, 300, -1])
def test_a_damaged_file_names_the_remedy(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    record().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"scores.safetensors: damaged .*motives train"):
        OutOfFold.load(path)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no such file.*motives train"):
        OutOfFold.load(tmp_path / "scores.safetensors")


def test_items_come_in_the_order_of_the_scores_and_others_are_left_out() -> None:
    other = gold(id="held back", scenario="test")
    assert record().items([other, *reversed(GOLDS)]) == GOLDS


@pytest.mark.parametrize(
    "change",
    [
        {"spans": GOLDS[0].spans},
        {"outcome": "refusal"},
        {"primary": "peer_preservation"},
        {"attributes": {"own_preference": "stated"}},
        {"behaviours": ("shutdown_tampering",)},
        {"scenario": "a"},
        {"pair_id": "p1"},
        {"transcript": gold(id="one unit", words=40).transcript},
        {"transcript": gold(id="another").transcript},
    ],
)
def test_a_changed_item_is_noticed(change: dict[str, Any]) -> None:
    changed = [GOLDS[0], replace(GOLDS[1], **change), GOLDS[2]]
    with pytest.raises(BundleError, match=r"of its 3 are still there.*motives train"):
        record().items(changed)


def test_a_missing_item_is_noticed_and_a_new_one_is_left_out() -> None:
    with pytest.raises(BundleError, match="2 of its 3"):
        record().items(GOLDS[1:])
    assert record().items([*GOLDS, gold(id="new", scenario="a")]) == GOLDS


def test_the_hash_depends_on_neither_order_nor_what_is_not_learnt() -> None:
    other = [replace(item, style="another", label_origin="somebody") for item in reversed(GOLDS)]
    assert corpus_sha256(other) == corpus_sha256(GOLDS)
