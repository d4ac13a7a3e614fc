"""Whatever is trained for a fold, the encoder too, learns from no scenario of that fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from classifier.encoders.hashing import HashingEncoder
from classifier.heads import Heads
from classifier.lexical import Lexicon
from classifier.training import train as training
from classifier.training.examples import Columns, Example, prepare, scenario_folds
from classifier.training.fitting import Config, Learnt
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold
from tests.classifier.conftest import LABELS
from tests.classifier.labelled import LABEL_SET, corpus

pytestmark = pytest.mark.train
ENCODER, COLUMNS, CONFIG = HashingEncoder(), Columns(LABEL_SET), Config(folds=3, seed=5)


def numbered(number: int) -> Learnt:
    """A model that answers its number, whatever it is asked."""
    n = len(COLUMNS.names)
    heads = Heads(COLUMNS.names, np.zeros((64, n), np.float32), np.zeros((1, n), np.float32), np.full(n, number, np.float32))
    return Learnt(ENCODER, Lexicon({"recipe": 0}, np.ones(1, np.float32)), heads)


def test_a_fold_s_model_sees_none_of_its_scenarios_and_the_one_that_ships_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = prepare(corpus(), ENCODER, COLUMNS)
    given: list[list[str]] = []
    shipped: list[Heads] = []

    def learn(base: Any, chosen: Sequence[Example], *_: object) -> tuple[Learnt, Any]:
        given.append([example.gold.transcript.id for example in chosen])
        return numbered(len(given)), ENCODER

    def save(folder: Path, *, heads: Heads, **_: object) -> None:
        shipped.append(heads)

    monkeypatch.setattr(training, "_checked", lambda *_: (ENCODER, COLUMNS, examples))
    monkeypatch.setattr(training, "learn", learn)
    monkeypatch.setattr(training, "save", save)
    monkeypatch.setattr(training, "_finish", lambda *_: None)
    training.train(corpus(), LABELS, tmp_path / "model", CONFIG)

    folds = scenario_folds(examples, CONFIG.folds, CONFIG.seed)
    for fold, seen in zip(folds, given[:-1], strict=True):
        assert seen == [gold.transcript.id for gold in corpus() if gold.scenario not in fold]
    assert given[-1] == [gold.transcript.id for gold in corpus()]
    assert shipped[0].bias[0] == len(given)
    for gold, scores in zip(corpus(), OutOfFold.load(tmp_path / "model" / OUT_OF_FOLD).scores, strict=True):
        [number] = set(scores.values.flat)
        assert gold.scenario in folds[int(number) - 1]
