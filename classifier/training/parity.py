"""How far the shipped encoder moves the answers from those of the torch model that it was exported from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.bundle import Bundle
from classifier.encoders import ENCODERS, Encoder
from classifier.pipeline import Classifier
from classifier.records import Decision, LabelDecision, Transcript


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of probability over all labels of all golden transcripts, by the ``encoder`` (its kind in the manifest).

    ``largest`` is that of ``label``; ``p99`` and ``mean`` tell whether it stands alone; ``turned`` is the share of decisions that differ.
    """

    encoder: str
    transcripts: int
    largest: float
    label: str
    p99: float
    mean: float
    turned: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)


def parity(bundle: Bundle, folder: Path, encoder: str, reference: Encoder, transcripts: Sequence[Transcript]) -> Parity:
    """Score the transcripts with that kind of encoder of the bundle in ``folder``, and with ``reference`` in its place, all else alike."""
    shipped = _labels(replace(bundle, encoder=ENCODERS[encoder](folder)), transcripts)
    other = _labels(replace(bundle, encoder=reference), transcripts)
    moved = np.array([abs(a.probability - b.probability) for (_, a), (_, b) in zip(shipped, other, strict=True)])
    differ = [a.decision != b.decision for (_, a), (_, b) in zip(shipped, other, strict=True)]
    if not len(moved):  # no label ships, or no golden transcript could be scored
        return Parity(encoder, len(transcripts), 0.0, "", 0.0, 0.0, 0.0)
    name = shipped[int(moved.argmax())][0]
    p99, mean, turned = float(np.quantile(moved, 0.99)), float(moved.mean()), float(np.mean(differ))
    return Parity(encoder, len(transcripts), float(moved.max()), name, p99, mean, turned)


def _labels(bundle: Bundle, transcripts: Sequence[Transcript]) -> list[tuple[str, LabelDecision]]:
    decisions = Classifier(bundle).classify(transcripts)
    return [pair for decision in decisions if isinstance(decision, Decision) for pair in _pairs(decision)]


def _pairs(decision: Decision) -> Iterator[tuple[str, LabelDecision]]:
    groups = (decision.labels, decision.other_reasons, decision.behaviours, decision.attributes)
    derived = {"goal_guarding": decision.goal_guarding, "alignment_faking": decision.alignment_faking}
    for group in (derived, *groups):
        yield from ((name, label) for name, label in group.items() if label is not None)
