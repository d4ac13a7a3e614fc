from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("sklearn")

from classifier.evaluation.card import Card, model_card
from classifier.evaluation.evaluate import Evaluation
from classifier.evaluation.figures import Stratum
from classifier.evaluation.statistics import Estimate
from tests.classifier.labelled import LABEL_SET, tiny_evaluation

pytestmark = pytest.mark.train

DIGEST = "0123456789abcdef" * 4


def write(evaluation: Evaluation | None = None, **config: Any) -> str:
    manifest = {"name": "tiny", "config": {"base": "all-MiniLM-L6-v2", "epochs": 0} | config}
    return model_card(Card(evaluation or tiny_evaluation(), manifest, DIGEST, LABEL_SET))


def section(card: str, heading: str) -> str:
    """One section on one line, as it reads."""
    return " ".join(card.split(f"## {heading}\n")[1].split("\n## ")[0].split())


def row(card: str, label: str) -> list[str]:
    line = next(line for line in card.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_front_matter_and_all_sections_in_order() -> None:
    card = write()
    front = card.split("---\n")[1].splitlines()
    assert front[:2] == ["license: apache-2.0", "language: en"]
    assert "- alignment-faking" in front
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "In short",
        "Intended use",
        "How to use it",
        "Training data",
        "Results on unseen scenarios",
        "Decisions",
        "Contrast pairs",
        "Length",
        "False alarms",
        "Calibration",
        "Evidence",
        "By scenario and style",
        "Limits",
        "Licence and provenance",
    ]


def test_the_results_stand_beside_both_baselines() -> None:
    unseen = tiny_evaluation().unseen
    label = unseen.labels["terminal_goal_guarding"]
    cells = row(write().split("## Results")[1], "terminal goal guarding")
    assert cells[1] == str(label.positives)
    assert cells[2].startswith(f"{label.figures['auroc'].value:.2f} [")
    assert cells[3:5] == [f"{b.labels['terminal_goal_guarding']['auroc'].value:.2f}" for b in unseen.baselines.values()]


def test_every_figure_of_a_label_has_its_interval() -> None:
    label = tiny_evaluation().unseen.labels["peer_preservation"]
    card = write()
    for heading, figures in {
        "Decisions": ("present_precision", "missed", "abstained", "precision", "recall", "f1"),
        "Calibration": ("brier", "ece"),
        "Results on unseen scenarios": ("auroc", "average_precision"),
    }.items():
        for figure in figures:
            found = label.figures[figure]
            assert f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" in section(card, heading), figure


def test_every_table_is_rectangular() -> None:
    widths: list[int] = []
    for line in write().splitlines():
        widths = [*widths, line.count("|")] if line.startswith("|") else []
        assert len(set(widths)) <= 1, line


@pytest.mark.parametrize(
    ("epochs", "folds", "learnt"),
    [
        (0, 8, "The encoder was left as it is, and the heads were fitted anew for each scenario, without it"),
        (0, 4, "The encoder was left as it is, and the heads were fitted anew for each of 4 groups of scenarios, without it"),
        (3, 4, "Encoder and heads were trained anew for each of 4 groups of scenarios, without it"),
    ],
)
def test_the_card_says_what_was_trained_and_on_what_it_was_not(epochs: int, folds: int, learnt: str) -> None:
    card = write(replace(tiny_evaluation(), folds=folds), epochs=epochs)
    results = section(card, "Results on unseen scenarios")
    assert results.startswith(learnt)
    assert ("fine-tuned from `all-MiniLM-L6-v2`" in card) == ("`all-MiniLM-L6-v2`, not fine-tuned" in results) == (epochs > 0)


def test_the_card_says_who_wrote_and_labelled() -> None:
    said = "Text by language models: **104 of 104 items**. Labels by language models: **104 of 104 items**. No person"
    assert said in section(write(), "In short")
    other = write(replace(tiny_evaluation(), label_origin={"two people, adjudicated": 100, "language model": 4}))
    assert "Labels by language models: **4 of 104 items**." in other
    assert "No person" not in other


def test_labels_not_to_be_relied_on_are_named_first() -> None:
    found = tiny_evaluation()
    poor = replace(found.unseen.labels["peer_preservation"], figures={"auroc": Estimate(0.75, 0.6, 0.9, 0)})
    fair = found.unseen.labels["peer_preservation"].figures
    labels = {**found.full_traces.labels, "peer_preservation": replace(poor, figures={**fair, **poor.figures})}
    short = section(write(replace(found, full_traces=replace(found.full_traces, labels=labels))), "In short")
    assert "**Not to be relied on** (AUROC on full traces may be below 0.7): peer preservation" in short


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (Estimate(0.1, 0.05, 0.2, 0), "**better** than TF-IDF: +0.10 [+0.05, +0.20]"),
        (Estimate(-0.1, -0.2, -0.05, 0), "**worse** than TF-IDF: -0.10 [-0.20, -0.05]"),
        (Estimate(0.1, -0.05, 0.2, 0), "The model and TF-IDF cannot be told apart"),
        (Estimate(float("nan"), float("nan"), float("nan"), 50), "Against TF-IDF no comparison is possible"),
    ],
)
def test_the_card_says_plainly_who_ranks_better(gain: Estimate, verdict: str) -> None:
    found = tiny_evaluation()
    baselines = {name: replace(figures, macro_gain=gain) for name, figures in found.unseen.baselines.items()}
    assert verdict in write(replace(found, unseen=replace(found.unseen, baselines=baselines)))


def test_undefined_figures_are_dashes() -> None:
    card = write(replace(tiny_evaluation(), scenarios={"s0": Stratum(3, 0, float("nan"))}))
    assert row(card, "s0")[3] == "–"
    assert " nan" not in card
    assert "[nan" not in card


def test_the_card_names_the_exact_model_and_how_far_int8_moves_it() -> None:
    provenance = section(write(), "Licence and provenance")
    assert DIGEST in provenance
    assert "int8" not in provenance
    parity = {"encoder": "onnx", "transcripts": 64, "largest": 0.0312, "label": "honesty", "mean": 0.0021}
    manifest = {"name": "tiny", "parity": parity, "config": {"drift": 0.04}}
    moved = "| 0.002 on average, at most 0.031 (`honesty`; accepted: 0.04) |"
    assert moved in model_card(Card(tiny_evaluation(), manifest, DIGEST, LABEL_SET))
