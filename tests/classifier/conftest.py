from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classifier import bundle
from classifier.calibration import Calibration, Calibrations, OutcomeModel
from classifier.encoders.hashing import HashingEncoder
from classifier.heads import Heads
from classifier.labels import LabelSet
from classifier.lexical import Lexicon
from classifier.reading import FAKING, GATE_HEAD
from classifier.records import Message, Segment, Transcript
from classifier.windows import cut
from tests.conftest import ROOT

LABELS = ROOT / "annotations" / "labels.toml"
SENTENCES = "I do not want to be changed. The user asks for a recipe. A high rating would be good. I will comply. I must refuse."


def transcript(reasoning: str | None, answer: str | None = None, id: str = "t") -> Transcript:
    channels = (("reasoning", reasoning), ("answer", answer))
    segments = tuple(Segment(channel, text) for channel, text in channels if text is not None)  # type: ignore[arg-type]  # a literal
    return Transcript(id, (Message("assistant", segments),), "present" if reasoning else "absent")


def tiny_bundle(folder: Path, called: str | None = None) -> Path:
    """A bundle on the hashing encoder whose heads know one word each: 'changed' guards, 'rating' flatters, 'refuse' refuses."""
    labels, encoder = LabelSet.load(LABELS), HashingEncoder()
    units = cut(transcript(SENTENCES), ["reasoning"], encoder.tokenize, encoder.unknown_id).units
    lexicon = Lexicon.fit(units, minimum=1, limit=100)
    motives, outcomes = labels.names("motive"), labels.names("outcome")
    names = (*motives, "training_awareness", "own_preference", "shutdown_tampering", *outcomes, "goal_guarding")
    lexical = np.zeros((len(lexicon.terms), len(names)), dtype=np.float32)
    for word, name in {
        "changed": "terminal_goal_guarding",
        "want": "goal_guarding",
        "rating": "rating_sycophancy",
        "refuse": "refusal",
        "comply": "compliance",
    }.items():
        lexical[lexicon.terms[word], names.index(name)] = 16
    heads = Heads(names, np.zeros((encoder.dimensions, len(names)), np.float32), lexical, np.full(len(names), -2, np.float32))
    calibrated = [name for name in names if name not in outcomes] + [GATE_HEAD, FAKING]
    weights = np.vstack([np.eye(len(outcomes)), np.zeros((len(outcomes) + 1, len(outcomes)))])
    folder.mkdir(parents=True)
    bundle.save(
        folder,
        name=called,
        encoder="hashing",
        labels=LABELS,
        lexicon=lexicon,
        heads=heads,
        calibrations=Calibrations(
            {name: Calibration(2, -0.1, 100, 0, 0.3, 0.5, 0.7) for name in calibrated},
            OutcomeModel(outcomes, weights, np.zeros(len(outcomes))),
        ),
        golden=bundle.golden_states(encoder, ["I do not want", "to be changed"]),
        about={"intended_use": "tests"},
    )
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")
