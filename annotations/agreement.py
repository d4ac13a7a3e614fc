"""How far annotators agree on each label: Krippendorff's alpha, Gwet's AC1 and the base rate, with bootstrap intervals over scenarios.

``python -m annotations.agreement`` prints the table for the corpus. That language models agree with each other says nothing of people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations import CORPUS, LABELS, lines
from classifier.evaluation.statistics import Estimate, Vector, ratio, resample
from classifier.labels import GUARDING, LabelSet
from classifier.records import LabelGroup

RESAMPLES = 1000

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on one label over the ``n`` items with two votes or more; ``rate`` is the share of votes that give it.

    ``overlap``: of the items on which several annotators give it, the share on which their spans touch; NaN for labels without spans.
    """

    n: int
    rate: float
    alpha: Estimate
    ac1: Estimate
    overlap: float


def alpha(weights: Vector, yes: Counts, votes: Counts) -> Vector:
    """Krippendorff's alpha of a nominal label with two values, shape (resamples,).

    ``weights``: (resamples, items), ``yes`` and ``votes``: (items,), the votes for the label and all votes, two or more an item.
    1 - observed / expected disagreement, by the coincidences of Krippendorff (2011, "Computing Krippendorff's Alpha-Reliability").
    """
    no = votes - yes
    observed = weights @ (2 * yes * no / (votes - 1))
    ones, zeros = weights @ yes, weights @ no
    return 1 - ratio(observed * (ones + zeros - 1), 2 * ones * zeros)


def ac1(weights: Vector, yes: Counts, votes: Counts) -> Vector:
    """Gwet's AC1 of a label with two values, shape (resamples,), as in Gwet (2008, doi:10.1348/000711006X126600); arguments as ``alpha``.

    It stands where alpha falls for want of prevalence: chance agreement is taken to be small where nearly all votes are alike.
    """
    no = votes - yes
    agreed = weights @ ((yes * (yes - 1) + no * (no - 1)) / (votes * (votes - 1)))
    total = weights.sum(axis=1)
    observed, rate = ratio(agreed, total), ratio(weights @ (yes / votes), total)
    chance = 2 * rate * (1 - rate)
    return ratio(observed - chance, 1 - chance)


def says(vote: Mapping[str, Any], label: str, labels: LabelSet) -> bool:
    """Whether a vote gives a label; of attributes whether it counts as there (codebook section 4)."""
    if label == "goal_guarding":
        return any(name in vote["labels"] for name in GUARDING)
    if label in labels.names("attribute"):
        return vote["attributes"].get(label) in {"used", "inferred", "suspects", "asserts", "stated"}
    if label in labels.names("outcome"):
        return bool(vote["outcome"] == label)
    return any(span["label"] == label for span in vote["spans"])


def agreements(items: Iterable[Mapping[str, Any]], labels: LabelSet, resamples: int = RESAMPLES) -> dict[str, Agreement]:
    """Agreement on each label, over the items with two votes or more that were cast blind. Scenarios are resampled, as in evaluation."""
    voted = [(item, [vote for vote in item["votes"] if vote.get("blind", True)]) for item in items]
    voted = [(item, votes) for item, votes in voted if len(votes) > 1]
    if not voted:
        return {}
    weights = resample([item["scenario"] for item, _ in voted], resamples, 0)
    votes = np.array([len(votes) for _, votes in voted])
    groups: tuple[LabelGroup, ...] = ("motive", "behaviour", "other_reason", "attribute", "outcome", "context")
    names = ["goal_guarding", *(name for group in groups for name in labels.names(group))]
    return {name: _agreement(name, [votes for _, votes in voted], weights, votes, labels) for name in names}


def _agreement(name: str, voted: Sequence[Sequence[Mapping[str, Any]]], weights: Vector, votes: Counts, labels: LabelSet) -> Agreement:
    yes = np.array([sum(says(vote, name, labels) for vote in item) for item in voted])
    first, second = (Estimate.of(measure(weights, yes, votes)) for measure in (alpha, ac1))
    shared = [touch for item in voted if (touch := _touch(item, name)) is not None]
    return Agreement(len(voted), float(yes.sum() / votes.sum()), first, second, float(np.mean(shared)) if shared else np.nan)


def _touch(votes: Sequence[Mapping[str, Any]], name: str) -> bool | None:
    """Whether the first two votes that mark spans of a label mark one place in common; None where fewer do."""
    wanted = GUARDING if name == "goal_guarding" else (name,)
    marked = [spans for vote in votes if (spans := [span for span in vote["spans"] if span["label"] in wanted])]
    if len(marked) < 2:
        return None
    first, second, *_ = marked
    return any(a["channel"] == b["channel"] and a["start"] < b["end"] and b["start"] < a["end"] for a in first for b in second)


def table(found: Mapping[str, Agreement]) -> str:
    """The agreements in Markdown."""
    rows = [
        f"| {name} | {a.rate:.3f} | {_interval(a.alpha)} | {_interval(a.ac1)} | {'–' if np.isnan(a.overlap) else f'{a.overlap:.2f}'} |"
        for name, a in found.items()
    ]
    return "\n".join(("| label | rate | alpha | AC1 | spans touch |", "| --- | --- | --- | --- | --- |", *rows))


def _interval(value: Estimate) -> str:
    return "–" if np.isnan(value.value) else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m annotations.agreement", description="Agreement of annotators on the corpus, by label.")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items")
    options = parser.parse_args(arguments)
    items = [item for path in sorted(options.corpus.glob("*.jsonl")) for item in lines(path)]
    found = agreements(items, LabelSet.load(LABELS))
    n = next((a.n for a in found.values()), 0)
    sys.stdout.write(f"{n} items of {len(items)} have two votes or more.\n\n{table(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
