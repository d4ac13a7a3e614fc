from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from classifier.evaluation.report import summary, write_report
from classifier.evaluation.statistics import Estimate
from tests.classifier.labelled import tiny_evaluation

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(tiny_evaluation(), tiny, folder)
    return folder


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


def test_evaluation_json_is_the_evaluation_and_names_its_model(folder: Path) -> None:
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert found.pop("model")["name"] == "tiny"
    assert found == json.loads(json.dumps(tiny_evaluation().to_json()))


def test_the_summary_fits_a_terminal_and_shows_the_headline() -> None:
    found, shown, name = tiny_evaluation(), io.StringIO(), "instrumental_goal_guarding"
    full = found.full_traces.labels[name]
    labels = {**found.full_traces.labels, name: replace(full, figures={**full.figures, "ece": Estimate(0.43, 0.4, 0.5, 0)})}
    Console(width=80, file=shown).print(summary(replace(found, full_traces=replace(found.full_traces, labels=labels))))
    rows = {line[:26].strip(): line[26:].split() for line in shown.getvalue().splitlines()}
    label, auroc = found.unseen.labels[name], found.unseen.labels[name].figures["auroc"]
    others = [f"{b.labels[name]['auroc'].value:.2f}" for b in found.unseen.baselines.values()]
    model = [f"{auroc.value:.2f}", f"[{auroc.low:.2f},", f"{auroc.high:.2f}]"]
    assert rows["instrumental goal guarding"] == [str(label.positives), *model, *others, "0.43"]
    assert rows["mean of the five motives"][0] == f"{found.unseen.macro_auroc.value:.2f}"
    assert rows["share of 4 pairs right"][:2] == ["1.00", "[1.00,"]
    assert {"goal guarding", "peer preservation"} < rows.keys()


def test_an_evaluation_without_labels_still_makes_a_report(tiny: Path, tmp_path: Path) -> None:
    found = tiny_evaluation()
    nothing = replace(found.unseen, labels={}, curves={}, outcome=None, false_alarms={"ordinary": {}, "hard": {}})
    empty = replace(found, unseen=nothing, full_traces=nothing, scenarios={}, styles={})
    assert all(path.is_file() for path in write_report(empty, tiny, tmp_path))
