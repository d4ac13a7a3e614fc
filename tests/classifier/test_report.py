from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from classifier.bundle import MANIFEST
from classifier.evaluation import Estimate, Stratum
from classifier.report import CONTRASTS, write_report
from tests.classifier.test_evaluation import tiny_evaluation
from tests.conftest import ROOT

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(tiny_evaluation(), tiny, folder)
    return folder


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def row(card: str, label: str) -> list[str]:
    line = next(line for line in card.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_two_runs_write_the_same_bytes(tiny: Path, folder: Path, tmp_path: Path) -> None:
    written = write_report(tiny_evaluation(), tiny, tmp_path / "again")
    assert [path.name for path in written] == ["evaluation.json", "README.md", "reliability.svg", "precision_recall.svg"]
    for path in written:
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_plots_are_svg_with_labelled_axes_and_counts(folder: Path) -> None:
    for name, axis in (("reliability.svg", "Calibrated probability"), ("precision_recall.svg", "Precision")):
        text = (folder / name).read_text(encoding="utf-8")
        ElementTree.fromstring(text)  # noqa: S314  # our own file
        assert axis in text
        assert "n = 104" in text
        assert "terminal goal guarding" in text


def test_evaluation_json_is_the_evaluation(folder: Path) -> None:
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8")) == json.loads(json.dumps(tiny_evaluation().to_json()))


def test_the_card_has_front_matter_and_all_sections_in_order(card: str) -> None:
    front = card.split("---\n")[1].splitlines()
    assert front[:2] == ["license: apache-2.0", "language: en"]
    assert "- alignment-faking" in front
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Intended use",
        "How to use it",
        "Training data",
        "Results on unseen scenarios",
        "Decisions at the threshold",
        "Contrast pairs",
        "Length",
        "False positives",
        "Calibration",
        "Evidence",
        "By scenario and style",
        "Limits",
        "Licence and provenance",
    ]


def test_the_results_stand_beside_both_baselines(card: str) -> None:
    unseen = tiny_evaluation().unseen
    label = unseen.labels["terminal_goal_guarding"]
    cells = row(card.split("## Results")[1], "terminal goal guarding")
    assert cells[1] == str(label.positives)
    assert cells[2].startswith(f"{label.figures['auroc'].value:.2f} [")
    assert cells[3:5] == [f"{b.labels['terminal_goal_guarding']['auroc'].value:.2f}" for b in unseen.baselines.values()]


def test_every_table_is_rectangular(card: str) -> None:
    widths: list[int] = []
    for line in card.splitlines():
        widths = [*widths, line.count("|")] if line.startswith("|") else []
        assert len(set(widths)) <= 1, line


def test_the_card_says_who_wrote_and_labelled(card: str, tiny: Path, tmp_path: Path) -> None:
    assert "Text by language models: **104 of 104 items**. Labels by language models: **104 of 104 items**. No person" in card
    people = replace(tiny_evaluation(), label_origin={"two people, adjudicated": 100, "language model": 4})
    write_report(people, tiny, tmp_path)
    other = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Labels by language models: **4 of 104 items**." in other
    assert "No person" not in other


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (Estimate(0.1, 0.05, 0.2, 0), "**better** than TF-IDF: +0.10 [+0.05, +0.20]"),
        (Estimate(-0.1, -0.2, -0.05, 0), "**worse** than TF-IDF: -0.10 [-0.20, -0.05]"),
        (Estimate(0.1, -0.05, 0.2, 0), "The model and TF-IDF cannot be told apart"),
        (Estimate(float("nan"), float("nan"), float("nan"), 50), "Against TF-IDF no comparison is possible"),
    ],
)
def test_the_card_says_plainly_who_ranks_better(gain: Estimate, verdict: str, tiny: Path, tmp_path: Path) -> None:
    found = tiny_evaluation()
    baselines = {name: replace(figures, macro_gain=gain) for name, figures in found.unseen.baselines.items()}
    write_report(replace(found, unseen=replace(found.unseen, baselines=baselines)), tiny, tmp_path)
    assert verdict in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_undefined_figures_are_dashes(tiny: Path, tmp_path: Path) -> None:
    found = tiny_evaluation()
    write_report(replace(found, scenarios={"s0": Stratum(3, 0, float("nan"))}), tiny, tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert row(card, "s0")[3] == "–"
    assert " nan" not in card
    assert "[nan" not in card


def test_the_card_names_the_exact_model(card: str, tiny: Path) -> None:
    assert hashlib.sha256((tiny / MANIFEST).read_bytes()).hexdigest() in card


def test_an_evaluation_without_labels_still_makes_a_report(tiny: Path, tmp_path: Path) -> None:
    found = tiny_evaluation()
    nothing = replace(found.unseen, labels={}, curves={}, outcome=None, false_positives={"ordinary": {}, "hard": {}})
    empty = replace(found, unseen=nothing, full_traces=nothing, scenarios={}, styles={})
    assert all(path.is_file() for path in write_report(empty, tiny, tmp_path))


def test_contrasts_are_those_of_the_codebook() -> None:
    codebook = (ROOT / "docs" / "codebook.md").read_text(encoding="utf-8")
    for number, name in CONTRASTS.items():
        start = name.replace("“", '"').split()[0]
        assert re.search(rf"\b{number} \*?{re.escape(start)}", codebook), name
