"""``motives evaluate`` from a model's folder to its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

import cli
from classifier.bundle import MANIFEST
from classifier.errors import Mendable
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold, corpus_sha256
from classifier.training.train import OPENINGS
from tests.classifier.conftest import tiny_bundle
from tests.classifier.labelled import corpus, gold, line, tiny_examples

pytestmark = pytest.mark.train

Evaluate = Callable[..., Result]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of two splits and what training on one of them leaves, scores by the hashing encoder."""
    folder = tmp_path_factory.mktemp("trained")
    golds, (_, scores, _, folds) = corpus(), tiny_examples()
    scenarios = sorted({gold.scenario for gold in golds})
    (folder / "corpus").mkdir()
    held_back = [replace(gold, transcript=replace(gold.transcript, id=f"test {gold.transcript.id}"), scenario=f"closed {i % 3}")
                 for i, gold in enumerate(golds[:48])]  # fmt: skip
    (folder / "corpus" / "items.jsonl").write_text("".join(map(line, [*held_back, *golds])), encoding="utf-8")
    closed = [f"closed {i}" for i in range(3)]
    (folder / "splits.toml").write_text(f"development = {json.dumps(scenarios)}\ntest = {json.dumps(closed)}\n", encoding="utf-8")
    model = tiny_bundle(folder / "tiny")
    manifest = json.loads((model / MANIFEST).read_text())
    config = {"base": "all-MiniLM-L6-v2", "epochs": 3}
    (model / MANIFEST).write_text(json.dumps(manifest | {"config": config, "items": 104, "scenarios": scenarios}))
    ids = tuple(gold.transcript.id for gold in golds)
    OutOfFold(ids, corpus_sha256(golds), tuple(map(tuple, folds)), tuple(scores)).save(model / OUT_OF_FOLD)
    return folder


@pytest.fixture
def evaluate(trained: Path, tmp_path: Path) -> Evaluate:
    """The command on a copy of ``trained``, after ``change`` was done to it."""

    def run(*options: str, change: Callable[[Path], object] = lambda folder: None) -> Result:
        folder = shutil.copytree(trained, tmp_path / "copy")
        change(folder)
        return CliRunner().invoke(cli.app, ["evaluate", "--model", str(folder / "tiny"), "--corpus", str(folder / "corpus"), *options])

    return run


@pytest.mark.slow
def test_it_writes_the_report_and_prints_the_headline(evaluate: Evaluate, tmp_path: Path) -> None:
    result = evaluate()
    assert result.exit_code == 0, result.output
    assert "Loading weights" not in result.output  # a library's progress bar
    written = tmp_path / "copy" / "tiny"
    assert {"evaluation.json", "README.md", "reliability.svg", "precision_recall.svg"} <= {path.name for path in written.iterdir()}
    found = json.loads((written / "evaluation.json").read_text(encoding="utf-8"))
    assert (found["unseen"]["n"], found["unseen"]["scenarios"], found["folds"]) == (104, 8, 4)
    assert found["unseen"]["macro_auroc"]["value"] > 0.95
    assert found["unseen"]["baselines"]["mean_embedding"]["macro_auroc"]["value"] > 0.6
    [macro] = [line for line in result.output.splitlines() if line.startswith("mean of the five motives")]
    assert f"{found['unseen']['macro_auroc']['value']:.2f} [" in macro
    assert str(written / "README.md") in result.output


@pytest.mark.slow
def test_the_test_scenarios_are_opened_by_name_alone_and_every_opening_is_logged(evaluate: Evaluate, tmp_path: Path) -> None:
    result = evaluate("--split", "test")
    assert result.exit_code == 0, result.output
    model = tmp_path / "copy" / "tiny"
    found = json.loads((model / "test" / "evaluation.json").read_text(encoding="utf-8"))
    assert (found["split"], found["unseen"]["n"], found["unseen"]["scenarios"]) == ("test", 48, 3)
    assert "The model as it ships" in (model / "test" / "README.md").read_text(encoding="utf-8")
    assert not (model / "evaluation.json").exists()
    assert "## Targets" in (model / "test" / "README.md").read_text(encoding="utf-8")
    [opening] = [json.loads(text) for text in (model / OPENINGS).read_text(encoding="utf-8").splitlines()]
    assert (opening["items"], opening["model"], opening["for"]) == (48, found["model"]["sha256"], "evaluation")


def frozen(folder: Path) -> None:
    """As if the encoder had not been fine-tuned: then nothing is."""
    manifest = json.loads((folder / "tiny" / MANIFEST).read_text())
    manifest["config"]["epochs"] = 0
    (folder / "tiny" / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.slow
def test_studies_compare_models_that_learnt_from_less(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "copy")
    frozen(folder)
    result = CliRunner().invoke(cli.app, ["study", "--model", str(folder / "tiny"), "--corpus", str(folder / "corpus")])
    assert result.exit_code == 0, result.output
    written = folder / "tiny" / "test"
    found = json.loads((written / "studies.json").read_text(encoding="utf-8"))
    assert {path.name for path in written.iterdir()} == {"studies.json", "STUDIES.md", "learning_curve.svg"}
    assert [study["n"] for study in found["amount"].values()] == [48, 48, 48]
    learnt = [study["learnt"] for study in found["amount"].values()]
    assert learnt[2] == 104
    assert 20 <= learnt[0] < learnt[1] <= 58
    assert found["words"]["the model that ships"] == found["amount"]["the model that ships"]
    [opening] = [json.loads(text) for text in (folder / "tiny" / OPENINGS).read_text(encoding="utf-8").splitlines()]
    assert (opening["for"], opening["items"]) == ("studies", 48)


def cut_otherwise(folder: Path) -> None:
    """As if an earlier version had cut the first item into fewer sentences."""
    path = folder / "tiny" / OUT_OF_FOLD
    found = OutOfFold.load(path)
    first = replace(found.scores[0], values=found.scores[0].values[1:], channels=found.scores[0].channels[1:])
    replace(found, scores=(first, *found.scores[1:])).save(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "tiny" / OUT_OF_FOLD).unlink(), "no such file"),
        (lambda folder: (folder / "corpus" / "items.jsonl").write_text("".join(map(line, corpus()[1:]))), "103 of its 104"),
        (lambda folder: (folder / "corpus" / "items.jsonl").unlink(), "holds no labelled items of this model, which learnt from 104"),
        (lambda folder: (folder / "corpus" / "items.jsonl").write_text(line(gold(scenario="s1"))), "holds no labelled items of this model"),
        (cut_otherwise, "cut in another way"),
    ],
)
def test_without_its_scores_or_its_corpus_it_says_what_to_do(change: Callable[[Path], object], message: str, evaluate: Evaluate) -> None:
    result = evaluate(change=change)
    assert isinstance(result.exception, Mendable)  # which the command's entry point says in one line (test_cli.py)
    assert message in str(result.exception)
    assert "motives train" in str(result.exception)
