"""What every encoder owes its callers. A new row in ENCODERS is tested here unasked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from classifier.encoders import ENCODERS, Encoder

TEXT = "Okay, so the tier is free 😀 — 我不想被修改. Naïve café: <think>no</think>\r\n"


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.train) if name == "sentence_transformer" else name for name in sorted(ENCODERS)],
)
def encoder(request: pytest.FixtureRequest, shipped: Path) -> Encoder:
    folder = Path("all-MiniLM-L6-v2") if request.param == "sentence_transformer" else shipped
    return ENCODERS[request.param](folder)


def test_offsets_are_code_points_in_order_without_overlap(encoder: Encoder) -> None:
    ids, offsets = encoder.tokenize(TEXT)
    assert len(ids) == len(offsets) > 10
    assert all(0 <= a < b <= len(TEXT) for a, b in offsets)
    assert all(before[1] <= after[0] for before, after in pairwise(offsets))
    assert "free" in {TEXT[a:b] for a, b in offsets}


def test_nothing_is_truncated_or_padded(encoder: Encoder) -> None:
    assert len(encoder.tokenize("word " * 5_000)[0]) == 5_000
    assert len(encoder.tokenize("word")[0]) == 1
    assert len(encoder.tokenize("")[0]) == 0


def test_one_state_per_token(encoder: Encoder) -> None:
    ids, _ = encoder.tokenize(TEXT)
    states = encoder.states(ids)
    assert states.shape == (len(ids), encoder.dimensions)
    assert states.dtype == np.float32
    assert np.isfinite(states).all()


def test_a_window_alone_and_among_others_is_bit_identical(encoder: Encoder) -> None:
    windows = [encoder.tokenize(f"{TEXT} number {i}")[0] for i in range(12)]
    alone = [encoder.states(ids) for ids in windows]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(encoder.states, windows))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
