"""Encoders: text to token ids, a window of ids to one state per token. One file and one row in ENCODERS for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Encoder(Protocol):
    """What windows, heads and training need of an encoder. Methods may be called from several threads at once."""

    dimensions: int
    unknown_id: int

    def tokenize(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Token ids and their (start, end) code points in ``text``: no special tokens, no truncation, no padding."""
        ...

    def states(self, ids: Sequence[int]) -> Floats:
        """One window's token states, shape (len(ids), dimensions). The answer depends on ``ids`` alone."""
        ...


def _onnx(folder: Path) -> Encoder:
    from classifier.encoders.onnx import OnnxEncoder

    return OnnxEncoder.load(folder)


def _onnx_float(folder: Path) -> Encoder:
    from classifier.encoders.onnx import OnnxEncoder

    return OnnxEncoder.load(folder, "encoder_float.onnx")


def _hashing(folder: Path) -> Encoder:
    from classifier.encoders.hashing import HashingEncoder

    return HashingEncoder()


def _sentence_transformer(folder: Path) -> Encoder:
    from classifier.encoders.sentence_transformer import TorchEncoder

    return TorchEncoder.load(str(folder))


ENCODERS: Mapping[str, Callable[[Path], Encoder]] = {
    "onnx": _onnx,
    "onnx-float": _onnx_float,
    "hashing": _hashing,
    "sentence_transformer": _sentence_transformer,
}
"""Name in a bundle's manifest to a loader that takes the bundle's folder; each imports its library only when it is asked for."""
