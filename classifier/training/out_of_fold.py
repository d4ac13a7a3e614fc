"""What training leaves for evaluation: every item's raw scores by an encoder and heads that never saw its scenario.

Doing this again would mean training again, once for each fold. One safetensors file beside the bundle, no pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from classifier.bundle import BundleError
from classifier.pipeline import input_sha256
from classifier.reading import SCORED_CHANNELS, UnitScores
from classifier.records import GoldLabel

OUT_OF_FOLD = "out_of_fold.safetensors"
_REMEDY = "train it again with `motives train`"


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Scores of labelled items, in the order of ``ids``; ``folds`` are the groups of scenarios that were held out together.

    Raises ValueError where the ids are not unique, or there is not one score for each.
    """

    ids: tuple[str, ...]
    corpus_sha256: str
    folds: tuple[tuple[str, ...], ...]
    scores: tuple[UnitScores, ...]

    def __post_init__(self) -> None:
        if not len(set(self.ids)) == len(self.ids) == len(self.scores):
            raise ValueError("every item needs an id of its own, and its scores")

    def save(self, path: Path) -> None:
        """Write the file. Scores are rounded to float16, one part in 2,048, far below what any figure shows; all must share names."""
        [names] = {score.names for score in self.scores}
        tensors: dict[str, NDArray[Any]] = {
            "values": np.concatenate([score.values for score in self.scores]).astype(np.float16),
            "units": np.array([len(score.values) for score in self.scores], dtype=np.int32),
            "channels": np.array([SCORED_CHANNELS.index(c) for score in self.scores for c in score.channels], dtype=np.uint8),
        }
        texts = {"ids": self.ids, "folds": self.folds, "names": names, "corpus_sha256": self.corpus_sha256}
        save_file(tensors, path, metadata={key: json.dumps(value) for key, value in texts.items()})

    @classmethod
    def load(cls, path: Path) -> OutOfFold:
        """Read the file. Raises BundleError, which names the remedy, where it is missing or damaged."""
        if not path.is_file():
            raise BundleError(f"{path}: no such file, so the model cannot be evaluated on scenarios it never saw; {_REMEDY}")
        try:
            with safe_open(path, framework="np") as file:
                texts = {key: json.loads(value) for key, value in file.metadata().items()}
                values, units, channels = (file.get_tensor(name) for name in ("values", "units", "channels"))
            cuts, names = np.cumsum(units)[:-1], tuple(texts["names"])
            parts = zip(np.split(values.astype(np.float32), cuts), np.split(np.array(SCORED_CHANNELS)[channels], cuts), strict=True)
            scores = tuple(UnitScores(names, *part) for part in parts)
            return cls(tuple(texts["ids"]), texts["corpus_sha256"], tuple(map(tuple, texts["folds"])), scores)
        except (SafetensorError, KeyError, ValueError, IndexError) as error:
            raise BundleError(f"{path}: damaged ({type(error).__name__}: {error}); {_REMEDY}") from error

    def items(self, golds: Iterable[GoldLabel]) -> list[GoldLabel]:
        """Those of ``golds`` that were scored, in the order of the scores. The corpus may have grown since.

        Raises BundleError where the scored items are no longer those that the model learnt from.
        """
        by_id = {gold.transcript.id: gold for gold in golds}
        chosen = [by_id[id] for id in self.ids if id in by_id]
        if self.ids and not chosen:
            raise BundleError(
                f"the corpus holds no labelled items of this model, which learnt from {len(self.ids)}: "
                f"give the corpus that it was trained on with --corpus, or {_REMEDY}"
            )
        if corpus_sha256(chosen) != self.corpus_sha256:
            raise BundleError(
                f"the labelled items changed since the model learnt from them ({len(chosen)} of its {len(self.ids)} are still there, "
                f"some with other text or labels): {_REMEDY}, or give the corpus that it was trained on"
            )
        return chosen


def corpus_sha256(golds: Sequence[GoldLabel]) -> str:
    """Hash of all that is learnt from labelled items: ids, texts, spans, labels, scenarios and pairs. Their order does not matter."""
    return hashlib.sha256(json.dumps(sorted(_content(gold) for gold in golds)).encode()).hexdigest()


def _content(gold: GoldLabel) -> str:
    spans = [astuple(span) for span in gold.spans]
    labels = (gold.primary, gold.outcome, gold.attributes, gold.behaviours, gold.scenario, gold.pair_id)
    return json.dumps((gold.transcript.id, input_sha256(gold.transcript), spans, labels), sort_keys=True)
