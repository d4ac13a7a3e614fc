"""Word 1- and 2-grams weighted by TF-IDF: the lexical half of a unit's features. Plain dictionaries: serving needs no scikit-learn."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.encoders import Floats
from classifier.records import Unit

Integers = NDArray[np.int64]

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """``terms`` maps an n-gram to its column, ``idf`` holds one weight per column, shape (columns,), float32."""

    terms: Mapping[str, int]
    idf: Floats

    @classmethod
    def fit(cls, units: Sequence[Unit], minimum: int, limit: int) -> Lexicon:
        """The ``limit`` most frequent n-grams of at least ``minimum`` units, with idf = ln((1 + n) / (1 + df)) + 1 as in scikit-learn."""
        frequency: Counter[str] = Counter()
        for terms in _ngrams(units):
            frequency.update(set(terms))
        kept = sorted(sorted(term for term, n in frequency.items() if n >= minimum), key=lambda t: -frequency[t])[:limit]
        idf = np.array([math.log((1 + len(units)) / (1 + frequency[term])) + 1 for term in kept], dtype=np.float32)
        return cls({term: i for i, term in enumerate(kept)}, idf)

    def known(self, texts: Iterable[str]) -> tuple[int, int]:
        """How many words of ``texts`` there are, and how many of them the lexicon holds."""
        words = Counter(word for text in texts for word in _words(text))
        return words.total(), sum(count for word, count in words.items() if word in self.terms)

    def rows(self, units: Sequence[Unit]) -> tuple[Integers, Integers, Floats]:
        """Non-zero features as a compressed sparse matrix (starts, columns, values): unit i's lie at ``[starts[i], starts[i + 1])``.

        A unit's values have Euclidean length 1 unless there are none.
        """
        width = len(self.terms)
        known = (map(self.terms.get, terms) for terms in _ngrams(units))
        found = [i * width + column for i, columns in enumerate(known) for column in columns if column is not None]
        places, counts = np.unique(np.array(found, dtype=np.int64), return_counts=True)
        rows, columns = np.divmod(places, width)
        values = counts * self.idf[columns]
        lengths = np.sqrt(np.bincount(rows, values * values))
        return np.searchsorted(rows, np.arange(len(units) + 1)), columns, (values / lengths[rows]).astype(np.float32)


def _ngrams(units: Sequence[Unit]) -> Iterator[Iterable[str]]:
    """Each unit's words and pairs of words. A text is split once, though it is one unit's sentence and the next one's context."""
    texts = {text for unit in units for text in (unit.context, unit.evidence.text)}
    split = {text: _words(text) for text in texts}
    for unit in units:
        words = split[unit.context] + split[unit.evidence.text]
        yield chain(words, map(" ".join, pairwise(words)))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text.replace("’", "'"))]
