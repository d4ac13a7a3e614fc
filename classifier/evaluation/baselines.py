"""What anyone would try first, on the same items and folds: logistic regressions on whole transcripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

from classifier.evaluation.statistics import Flags, Vector
from classifier.training.examples import Example

TFIDF, MEAN = "tfidf", "mean_embedding"
NAMES = {TFIDF: "TF-IDF", MEAN: "mean embedding"}
BASELINES = {TFIDF: 10.0, MEAN: 1.0}
"""The baselines with scikit-learn's C, each the best of 0.3, 1, 10 and 100 on the first corpus, so that none loses for want of it."""


def baselines(examples: Sequence[Example], folds: Sequence[Sequence[str]], truths: Mapping[str, Flags]) -> dict[str, dict[str, Vector]]:
    """Out-of-fold scores (log odds) of both baselines by label, shape (items,): logistic regressions on the labels of whole transcripts.

    TFIDF reads word 1- and 2-grams of the whole reasoning, MEAN the mean embedding of its units.
    """
    scenarios = np.array([example.gold.scenario for example in examples])
    found: dict[str, dict[str, Vector]] = {baseline: {name: np.zeros(len(examples)) for name in truths} for baseline in BASELINES}
    for fold in track(folds, description="Fitting baselines"):
        held = np.isin(scenarios, fold)
        for baseline, features in (_tfidf(examples, held), _means(examples)) if held.any() else ():
            for name, wanted in truths.items():
                found[baseline][name][held] = _log_odds(features, wanted, held, BASELINES[baseline])
    return found


def _tfidf(examples: Sequence[Example], held: Flags) -> tuple[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["\n".join(segment.text for _, segment in example.gold.transcript.segments("reasoning")) for example in examples]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    vectorizer.fit([text for text, unseen in zip(texts, held, strict=True) if not unseen])
    return TFIDF, vectorizer.transform(texts)


def _means(examples: Sequence[Example]) -> tuple[str, Any]:
    return MEAN, np.stack([example.embeddings[example.channels == "reasoning"].mean(axis=0) for example in examples])


def _log_odds(features: Any, wanted: Flags, held: Flags, penalty: float) -> Vector:
    """Log odds of the held-out items; zeros where the others are all of one class."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(wanted[~held])) < 2:
        return np.zeros(int(held.sum()))
    model = LogisticRegression(C=penalty, class_weight="balanced", solver="liblinear", dual=True, max_iter=5000, random_state=0)
    found: Vector = model.fit(features[~held], wanted[~held]).decision_function(features[held])
    return found
