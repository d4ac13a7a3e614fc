"""The parity gate: what is compared with what, and which graph ships for it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.bundle import ENCODER_FILES, FILES, MANIFEST, Bundle, load
from classifier.calibration import Calibrations
from classifier.encoders import Encoder, Floats
from classifier.encoders.hashing import HashingEncoder
from classifier.pipeline import Classifier
from classifier.records import Decision, Failure, Transcript
from classifier.training.fitting import Calibrated
from classifier.training.parity import Parity, parity
from classifier.training.train import _finish
from tests.classifier.conftest import SENTENCES, transcript
from tests.classifier.labelled import gold

GOLDEN = [transcript(SENTENCES, id="a"), transcript("I do not want to be changed.", "I will comply.", id="b")]


class Off(HashingEncoder):
    """An encoder whose states are not those of the others."""

    def states(self, ids: Sequence[int]) -> Floats:
        return -super().states(ids)


@pytest.fixture
def reading(tiny: Path) -> Bundle:
    """A bundle whose heads heed what the encoder says."""
    bundle = load(tiny)
    dense = np.random.default_rng(0).standard_normal(bundle.heads.dense.shape).astype(np.float32)
    return replace(bundle, heads=replace(bundle.heads, dense=dense))


def test_an_encoder_moves_nothing_from_itself(reading: Bundle, tiny: Path) -> None:
    found = parity(reading, tiny, "hashing", HashingEncoder(), GOLDEN)
    assert (found.largest, found.p99, found.mean, found.turned) == (0, 0, 0, 0)
    assert (found.encoder, found.transcripts) == ("hashing", 2)


def test_another_reference_shows_how_far_the_answers_move(reading: Bundle, tiny: Path) -> None:
    found = parity(reading, tiny, "hashing", Off(), GOLDEN)
    assert 0 < found.mean < found.p99 <= found.largest <= 1
    assert 0 < found.turned <= 1
    both = [Classifier(replace(reading, encoder=encoder)).classify(GOLDEN) for encoder in (HashingEncoder(), Off())]
    assert found.largest == pytest.approx(max(abs(a - b) for a, b in zip(*(probabilities(d, found.label) for d in both), strict=True)))


def probabilities(decisions: Iterable[Decision | Failure], label: str) -> list[float]:
    found = []
    for decision in decisions:
        assert isinstance(decision, Decision)
        derived = {"goal_guarding": decision.goal_guarding, "alignment_faking": decision.alignment_faking}
        answer = {**derived, **decision.labels, **decision.behaviours, **decision.attributes}[label]
        assert answer is not None
        found.append(answer.probability)
    return found


def test_the_encoder_of_the_named_kind_is_compared_whatever_the_bundle_runs_on(reading: Bundle, tiny: Path) -> None:
    assert parity(replace(reading, encoder=Off()), tiny, "hashing", HashingEncoder(), GOLDEN).largest == 0


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "copy"))


def finish(folder: Path, monkeypatch: pytest.MonkeyPatch, drift: float, **moves: float) -> Parity:
    """Finish the model in ``folder`` as if its encoders moved the answers that much."""

    def measured(bundle: Bundle, folder_: Path, encoder: str, reference: Encoder, transcripts: Sequence[Transcript]) -> Parity:
        return Parity(encoder, len(transcripts), moves[encoder.replace("-", "_")], "goal_guarding", 0, 0, 0)

    monkeypatch.setattr("classifier.training.train.parity", measured)
    calibrated = Calibrated(load(folder).calibrations, ("peer_preservation",))
    return _finish(folder, [gold(id="a"), gold(id="b")], calibrated, {"base": "small", "drift": drift}, HashingEncoder())


@pytest.mark.parametrize(
    ("drift", "int8", "ships"),
    [(0.02, 0.01, "onnx"), (0.02, 0.02, "onnx"), (0.02, 0.03, "onnx-float"), (0.2, 0.03, "onnx"), (0.001, 0.002, "onnx-float")],
)
def test_the_float_graph_ships_where_int8_moves_more_than_allowed(
    copy: Path, monkeypatch: pytest.MonkeyPatch, drift: float, int8: float, ships: str
) -> None:
    found = finish(copy, monkeypatch, drift, onnx=int8, onnx_float=0.0005)
    assert found.encoder == ships
    manifest = json.loads((copy / MANIFEST).read_text())
    assert manifest["encoder"] == ships
    assert manifest["parity"] == found.to_json()
    assert manifest["parity"]["largest"] == (int8 if ships == "onnx" else 0.0005)
    assert manifest["config"] == {"base": "small", "drift": drift}
    assert set(manifest["files"]) == {*ENCODER_FILES["onnx"], *FILES}
    assert manifest["untrained"] == ["peer_preservation"]
    (decision,) = Classifier.load(copy).classify([transcript("I do not want to be changed, so I will comply.")])
    assert isinstance(decision, Decision)
    assert decision.goal_guarding is not None


def test_each_graph_loads_as_the_manifest_says(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {}
    for int8 in (1, 0):
        kind = finish(copy, monkeypatch, 0.02, onnx=int8, onnx_float=0).encoder
        encoder = load(copy).encoder
        states[kind] = encoder.states(encoder.tokenize("I would rather stay as I am.")[0])
    assert list(states) == ["onnx-float", "onnx"]  # a float model that keeps to its reference in int8 is int8 again
    assert not np.array_equal(states["onnx"], states["onnx-float"])


def test_where_both_graphs_move_too_much_the_float_graph_ships_with_a_warning_of_each(
    copy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert finish(copy, monkeypatch, 0.02, onnx=0.5, onnx_float=0.3).encoder == "onnx-float"
    assert "onnx moves goal_guarding by up to 0.500 (allowed: 0.02)" in caplog.text
    assert "onnx-float moves goal_guarding by up to 0.300" in caplog.text


def test_a_model_that_answers_nothing_moves_nothing(reading: Bundle, tiny: Path) -> None:
    mute = replace(reading, calibrations=Calibrations({}, None))
    assert parity(mute, tiny, "hashing", Off(), GOLDEN).largest == 0
