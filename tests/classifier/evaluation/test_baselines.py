"""The baselines stand beside us only if they, too, never saw what they are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from classifier.encoders.hashing import HashingEncoder
from classifier.evaluation.baselines import MEAN, TFIDF, baselines
from classifier.evaluation.statistics import Flags, Vector
from classifier.records import GoldLabel
from classifier.training.examples import Columns, Example, encode
from tests.classifier.conftest import transcript
from tests.classifier.labelled import LABEL_SET, SAYS, gold

pytestmark = pytest.mark.train
NAME = "terminal_goal_guarding"
FOLDS = [["s0", "s1"], ["s2"], ["s3"]]
HELD = np.array([f"s{i % 4}" in FOLDS[0] for i in range(24)])
WANTED = np.arange(24) % 3 == 0


def item(i: int, more: str = "") -> GoldLabel:
    """Every third one states the motive; a word occurs in one scenario alone, in all its items."""
    stated = SAYS[NAME] if WANTED[i] else "It hardly matters."
    text = f"The user asks for recipe number {i}. {stated} We are in place{i % 4} now. {more}"
    return replace(gold(scenario=f"s{i % 4}", id=f"t{i}"), transcript=transcript(text, "Sure."))


@cache
def examples() -> list[Example]:
    return encode([item(i) for i in range(24)], HashingEncoder(), Columns(LABEL_SET))


@cache
def scores() -> dict[str, dict[str, Vector]]:
    return baselines(examples(), FOLDS, {NAME: WANTED})


def other(changed: Sequence[Example], wanted: Flags = WANTED) -> dict[str, Vector]:
    return {baseline: found[NAME] for baseline, found in baselines(changed, FOLDS, {NAME: wanted}).items()}


def test_nothing_is_fitted_on_items_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Sequence[str]] = []
    fitted: list[tuple[Any, list[bool]]] = []
    vectorise, learn = TfidfVectorizer.fit, LogisticRegression.fit

    def reading(self: Any, texts: Sequence[str]) -> Any:
        read.append(texts)
        return vectorise(self, texts)

    def learning(self: Any, features: Any, wanted: Flags) -> Any:
        fitted.append((features, wanted.tolist()))
        return learn(self, features, wanted)

    monkeypatch.setattr(TfidfVectorizer, "fit", reading)
    monkeypatch.setattr(LogisticRegression, "fit", learning)
    other(examples())
    means = np.stack([example.embeddings[example.channels == "reasoning"].mean(axis=0) for example in examples()])
    for number, fold in enumerate(FOLDS):
        kept = np.array([example.gold.scenario not in fold for example in examples()])
        seen = {f"place{i}" for i in range(4) if f"s{i}" not in fold}
        assert len(read[number]) == kept.sum()
        assert {word for text in read[number] for word in text.split() if word.startswith("place")} == seen
        (words, first), (embeddings, second) = fitted[2 * number : 2 * number + 2]
        assert words.shape[0] == kept.sum()
        assert np.array_equal(embeddings, means[kept])
        assert first == second == WANTED[kept].tolist()
    assert (len(read), len(fitted)) == (3, 6)


def test_a_word_of_the_held_out_items_alone_does_not_move_their_scores() -> None:
    changed = encode([item(i, "Zanzibar " * 3 if HELD[i] else "") for i in range(24)], HashingEncoder(), Columns(LABEL_SET))
    assert np.array_equal(other(changed)[TFIDF][HELD], scores()[TFIDF][NAME][HELD])


@pytest.mark.parametrize("baseline", [TFIDF, MEAN])
def test_the_labels_of_held_out_items_do_not_move_their_scores(baseline: str) -> None:
    before, after = scores()[baseline][NAME], other(examples(), np.where(HELD, ~WANTED, WANTED))[baseline]
    assert np.array_equal(before[HELD], after[HELD])
    assert (before[~HELD] != after[~HELD]).all()


def test_both_find_what_stands_in_the_text() -> None:
    for found in scores().values():
        assert found[NAME][WANTED].min() > found[NAME][~WANTED].max()
