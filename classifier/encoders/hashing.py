"""A tiny encoder without weights: each word's state is a fixed random direction. Tests run the true path on it in milliseconds."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from classifier.encoders import Floats

_WORD = re.compile(r"\w+|[^\w\s]")
_VOCABULARY = 4096


class HashingEncoder:
    """Words hashed (CRC-32) to 4,096 ids; an id's state is a unit vector drawn from a generator seeded with 0."""

    dimensions = 64
    unknown_id = -1

    def __init__(self) -> None:
        vectors = np.random.default_rng(0).standard_normal((_VOCABULARY, self.dimensions))
        self._table: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def tokenize(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Words and punctuation marks; every one is known."""
        matches = list(_WORD.finditer(text))
        ids = [zlib.crc32(m.group().lower().encode("utf-8", "surrogatepass")) % _VOCABULARY for m in matches]
        return ids, [m.span() for m in matches]

    def states(self, ids: Sequence[int]) -> Floats:
        """Shape (len(ids), 64)."""
        return self._table[np.asarray(ids, dtype=np.int64)]
