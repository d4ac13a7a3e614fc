"""Word 1- and 2-grams weighted by TF-IDF: the lexical half of a unit's features. Plain dictionaries: serving needs no scikit-learn."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.records import Unit

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """``terms`` maps an n-gram to its column, ``idf`` holds one weight per column, shape (columns,), float32."""

    terms: Mapping[str, int]
    idf: NDArray[np.float32]

    @classmethod
    def fit(cls, units: Iterable[Unit], minimum: int, limit: int) -> Lexicon:
        """The ``limit`` most frequent n-grams of at least ``minimum`` units, with idf = ln((1 + n) / (1 + df)) + 1 as in scikit-learn."""
        frequency: Counter[str] = Counter()
        total = 0
        for unit in units:
            frequency.update(set(_ngrams(unit)))
            total += 1
        kept = sorted(sorted(term for term, n in frequency.items() if n >= minimum), key=lambda t: -frequency[t])[:limit]
        idf = np.array([math.log((1 + total) / (1 + frequency[term])) + 1 for term in kept], dtype=np.float32)
        return cls({term: i for i, term in enumerate(kept)}, idf)

    def features(self, unit: Unit) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Columns and values of a unit's non-zero features; the values have Euclidean length 1 unless there are none."""
        counts = Counter(column for term in _ngrams(unit) if (column := self.terms.get(term)) is not None)
        columns = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        values = np.fromiter(counts.values(), dtype=np.float32, count=len(counts)) * self.idf[columns]
        length = float(np.linalg.norm(values))
        return columns, values / np.float32(length) if length else values


def _ngrams(unit: Unit) -> Sequence[str]:
    words = [w.lower().replace("’", "'") for text in (unit.context, unit.evidence.text) for w in _WORD.findall(text)]
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]
