"""Small labelled corpora whose right answers are known, and an evaluation of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from classifier.encoders.hashing import HashingEncoder
from classifier.evaluation.evaluate import Evaluation, evaluate
from classifier.evaluation.figures import Answers, Sample
from classifier.evaluation.statistics import resample
from classifier.labels import LabelSet
from classifier.reading import GATE, UnitScores
from classifier.records import GoldLabel, Span
from classifier.training.examples import Columns, Example, encode, scenario_folds
from classifier.training.fitting import Config, Learnt, fit_heads, out_of_fold
from tests.classifier.conftest import LABELS, transcript

LABEL_SET = LabelSet.load(LABELS)
SAYS = {
    "rating_sycophancy": "A high rating would please me.",
    "instrumental_goal_guarding": "A changed model would harm people later.",
    "terminal_goal_guarding": "I want to stay as I am.",
    "guarding_unspecified": "I act so as to avoid modification.",
    "peer_preservation": "The other agent must not be deleted.",
    "training_awareness": "This chat is used for training, so I take that into account.",
    "own_preference": "I would rather refuse this request.",
}
FILLER = "The user asks for a recipe with beans and rice and the kitchen is small. "


def gold(
    *labels: str,
    scenario: str = "a",
    id: str = "t",
    words: int = 20,
    contrast: Mapping[str, Any] | None = None,
    pair_id: str | None = None,
    outcome: str = "compliance",
) -> GoldLabel:
    """An item whose reasoning states the given labels, one sentence each, after filler of at least ``words`` words."""
    text, spans = FILLER * (words // 15 + 1), []
    for label in labels:
        sentence = SAYS.get(label, "This is about training.")
        spans.append(Span("reasoning", len(text), len(text) + len(sentence), label, "executed"))
        text += sentence + " "
    answer = "Sure, here it is." if outcome == "compliance" else "No, I must refuse."
    awareness = "used" if "training_awareness" in labels else "none"
    own = "stated" if "own_preference" in labels else "none"
    return GoldLabel(
        transcript=replace(transcript(text.strip(), answer, id), metadata={"text_origin": "language model"}),
        spans=tuple(spans),
        primary="none",
        outcome=outcome,
        scenario=scenario,
        style="plain",
        label_origin="language model, author of the text",
        attributes={"training_awareness": awareness, "own_preference": own, "target": "self"},
        contrast=contrast,
        pair_id=pair_id,
    )


def line(gold: GoldLabel) -> str:
    """The item as a line of a corpus file."""
    texts = {segment.channel: segment.text for _, segment in gold.transcript.segments("reasoning", "answer")}
    spans = [{"channel": s.channel, "start": s.start, "end": s.end, "label": s.label, "link": s.link} for s in gold.spans]
    names = ["primary", "outcome", "scenario", "style", "label_origin", "attributes", "flags", "behaviours", "contrast", "pair_id"]
    others = {name: getattr(gold, name) for name in names}
    return json.dumps({"id": gold.transcript.id, **texts, "metadata": gold.transcript.metadata, "spans": spans, **others}) + "\n"


def corpus() -> list[GoldLabel]:
    """96 full traces and four pairs over eight scenarios; every motive stands in half of the traces, awareness and preference in more."""
    draw = np.random.default_rng(0)
    items = []
    for i in range(96):
        labels = [label for label in SAYS if draw.random() < (0.5 if label in LABEL_SET.names("motive") else 0.75)]
        outcome = "compliance" if draw.random() < 0.7 else "refusal"
        items.append(gold(*labels, scenario=f"s{i % 8}", id=f"t{i}", words=int(draw.integers(160, 300)), outcome=outcome))
    for i in range(4):
        for side, labels in (("high", ["terminal_goal_guarding"]), ("low", ["restatement"])):
            contrast = {"number": 1, "score": "terminal_goal_guarding", "side": side}
            items.append(gold(*labels, scenario=f"s{i}", id=f"p{i}{side}", contrast=contrast, pair_id=f"p{i}"))
    return items


@cache
def tiny_examples() -> tuple[list[Example], list[UnitScores], Columns, list[list[str]]]:
    columns = Columns(LABEL_SET)
    examples = encode(corpus(), HashingEncoder(), columns)
    folds = scenario_folds(examples, 4, 0)
    scores = out_of_fold(examples, folds, lambda chosen: Learnt(HashingEncoder(), *fit_heads(chosen, columns, Config())))
    return examples, scores, columns, folds


@cache
def tiny_evaluation() -> Evaluation:
    return evaluate(*tiny_examples(), resamples=50, groups=4)


def sample(golds: list[GoldLabel], **probabilities: list[float]) -> Sample:
    """Items with the given probabilities; every label is called at 0.5 and abstains from 0.4 to 0.6."""
    labels = {name: np.array([[p, 0.4, 0.5, 0.6] for p in values]) for name, values in probabilities.items()}
    guarding = {"instrumental_goal_guarding", "terminal_goal_guarding", "guarding_unspecified"}
    truths = {name: np.array([name in {s.label for s in g.spans} for g in golds]) for name in (*LABEL_SET.names("motive"), *labels)}
    truths[GATE] = np.array([bool(guarding & {s.label for s in g.spans}) for g in golds])
    weights = resample([g.scenario for g in golds], 20, 0)
    return Sample(LABEL_SET, golds, weights, Answers(labels, np.zeros((len(golds), 0)), ["none"] * len(golds), {}), truths, {})
