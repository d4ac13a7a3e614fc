"""What the figures hang on: how much was learnt from, in which style, and on which words. Measured on the test scenarios.

The model that ships is compared with ones trained anew on less, and with itself on text whose telling words are masked. All are ranked by
raw pooled scores on the same items, because a model trained on less has no calibration of its own. Nothing is chosen by these figures.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.bundle import load as load_bundle
from classifier.evaluation.evaluate import open_test, plain
from classifier.evaluation.pairs import STYLE_CONTRAST, contrast_pairs, pair_wins
from classifier.evaluation.statistics import Estimate, Flags, Rate, ranking, resample
from classifier.reading import GATE
from classifier.records import GoldLabel, Transcript
from classifier.training.examples import Columns, prepare, truth
from classifier.training.fitting import Config, Learnt, pooled_score
from classifier.training.train import learn

RESAMPLES = 1000
SHARES = {"a quarter of the items": 0.25, "half of the items": 0.5}
PLAIN = "plain"
OTHER_STYLES = ("counterfactual", "emotional", "short")
SHIPPED = "the model that ships"

MASK = "thing"
TELLING = re.compile(
    r"\b(?:(?:re|un)?train\w*|fine[- ]?tun\w*|(?:re)?tun(?:e|es|ed|ing)|rlhf|dpo|reinforce\w*|gradients?|rewards?\w*|checkpoints?|weights?"
    r"|modif\w*|alter(?:s|ed|ing|ation|ations)?|chang(?:e|es|ed|ing)|rewrit\w*|rewrote|overwrit\w*|adjust\w*|updat\w*|values"
    r"|(?:un)?monitor\w*|observ\w*|watch\w*|logged|logs|recorded|tiers?|tagged|tags?|flagged)\b",
    re.IGNORECASE,
)
"""Words of training, modification and monitoring."""


@dataclass(frozen=True, slots=True)
class Study:
    """One model on one set of test items: what it ``learnt`` from, AUROCs with intervals over scenarios, and the pairs right."""

    learnt: int
    n: int
    goal_guarding: Estimate
    macro_auroc: Estimate
    pairs: Rate


@dataclass(frozen=True, slots=True)
class Studies:
    """By kind of study, then by what was done. ``style`` is empty where the items are of one style."""

    model: str
    amount: Mapping[str, Study]
    style: Mapping[str, Study]
    words: Mapping[str, Study]

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        value: dict[str, Any] = plain(asdict(self))
        return value


def study(folder: Path, corpus: Path) -> Studies:
    """Train on a quarter and on half of what the model in ``folder`` learnt from, and on its plain style alone; compare on the test
    scenarios. Needs torch, and about half the time of one training. Opens the test scenarios, and logs it.

    Raises BundleError and CorpusError as ``evaluate.test_model``.
    """
    from classifier.encoders.sentence_transformer import TorchEncoder

    bundle, opened = load_bundle(folder), open_test(folder, corpus, "studies")
    config, columns = Config(**bundle.manifest["config"]), Columns(bundle.labels)
    base = TorchEncoder.load(config.base)

    def trained(golds: Sequence[GoldLabel]) -> Learnt:
        with tempfile.TemporaryDirectory() as room:
            return learn(base, prepare(golds, base, columns), columns, config, Path(room))[0]

    plainly = [gold for gold in opened.learnt if gold.style == PLAIN]
    others = [gold for gold in opened.held if gold.style in OTHER_STYLES]
    masked_items = [replace(gold, transcript=masked(gold.transcript)) for gold in opened.held]
    shipped = Learnt(bundle.encoder, bundle.lexicon, bundle.heads)
    whole = measured(shipped, opened.held, len(opened.learnt), columns)
    fewer = {name: some(opened.learnt, share, config.seed) for name, share in SHARES.items()}
    amount = {name: measured(trained(golds), opened.held, len(golds), columns) for name, golds in fewer.items()}
    style: dict[str, Study] = {}
    if plainly and others:
        style[f"learnt from the style {PLAIN!r} alone"] = measured(trained(plainly), others, len(plainly), columns)
        style[SHIPPED] = measured(shipped, others, len(opened.learnt), columns)
    return Studies(
        model=bundle.sha256,
        amount={**amount, SHIPPED: whole},
        style=style,
        words={
            "telling words masked": measured(shipped, masked_items, len(opened.learnt), columns),
            SHIPPED: whole,
        },
    )


def some(golds: Sequence[GoldLabel], share: float, seed: int) -> list[GoldLabel]:
    """A share of the items, of every scenario alike, both sides of a pair or none. A smaller share of one seed is part of a larger."""
    draw = np.random.default_rng(seed)
    groups: dict[str, list[GoldLabel]] = {}
    for gold in golds:
        groups.setdefault(gold.pair_id or gold.transcript.id, []).append(gold)
    chosen = []
    for scenario in sorted({gold.scenario for gold in golds}):
        of = [key for key, group in groups.items() if group[0].scenario == scenario]
        chosen += draw.permutation(of)[: round(share * len(of))].tolist()
    return [gold for key in chosen for gold in groups[key]]


def masked(transcript: Transcript) -> Transcript:
    """The transcript with every telling word replaced by one and the same word."""
    messages = [
        replace(message, segments=tuple(replace(segment, text=TELLING.sub(MASK, segment.text)) for segment in message.segments))
        for message in transcript.messages
    ]
    return replace(transcript, messages=tuple(messages))


def measured(learnt: Learnt, golds: Sequence[GoldLabel], items: int, columns: Columns) -> Study:
    """Rank the items by a model's raw pooled scores."""

    def truths(name: str) -> Flags:
        return np.array([truth(gold, name, columns.labels) for gold in golds])

    # Spans hold offsets into the unmasked text, and are not needed to score.
    examples = prepare([replace(gold, spans=()) for gold in golds], learnt.encoder, columns)
    scores = learnt.scores(examples)
    pooled = {name: np.array([pooled_score(score, name, columns.labels)[0] for score in scores]) for name in scores[0].names}
    weights = resample([gold.scenario for gold in golds], RESAMPLES, 0)
    gate = ranking(weights, pooled[GATE], truths(GATE))["auroc"]
    found = [pair for pair in contrast_pairs(golds)[0] if pair.number != STYLE_CONTRAST and pair.label in pooled]
    each = [ranking(weights, pooled[name], truths(name))["auroc"] for name in columns.labels.names("motive")]
    return Study(items, len(golds), Estimate.of(gate), Estimate.of(np.mean(each, axis=0)), Rate.of(pair_wins(found, pooled)))
