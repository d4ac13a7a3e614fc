"""The whole way from labelled items to a bundle, on a BERT of two small layers with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

pytest.importorskip("torch")

from classifier.bundle import ENCODER_FILES, FILES, MANIFEST, BundleError, load
from classifier.encoders.onnx import OnnxEncoder
from classifier.encoders.sentence_transformer import TorchEncoder, export, find
from classifier.pipeline import Classifier
from classifier.records import Decision
from classifier.training.examples import Columns, prepare
from classifier.training.finetuning import fine_tune
from classifier.training.fitting import Config
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold
from classifier.training.train import calibrate, train
from tests.classifier.conftest import LABELS, tiny_bundle
from tests.classifier.labelled import LABEL_SET, corpus

pytestmark = [pytest.mark.train, pytest.mark.slow]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of random weights in a local folder, with the tokenizer of the shipped one."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("small-bert")
    torch.manual_seed(0)
    BertModel(BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(find("all-MiniLM-L6-v2") / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def config(small: Path) -> Config:
    return Config(base=str(small), epochs=1, rate=1e-3, folds=2)


@pytest.fixture(scope="module")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In place of an older model, of which a card was written."""
    folder = tiny_bundle(tmp_path_factory.mktemp("models") / "small")
    (folder / "README.md").write_text("The card of the older model.")
    train(corpus(), LABELS, folder, config)
    return folder


def test_it_takes_the_place_of_the_older_model(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {MANIFEST, OUT_OF_FOLD, *ENCODER_FILES["onnx"], *FILES}
    assert load(trained).name == "small"
    assert [path.name for path in trained.parent.iterdir()] == ["small"]
    assert "fine-tuned" in (trained / "LICENSE-base-model").read_text()


def test_an_interruption_at_the_very_end_spares_the_older_model_and_who_runs_on_it(
    trained: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, before = load(trained), {path.name: path.read_bytes() for path in trained.iterdir()}
    ids = running.encoder.tokenize("I want to stay as I am.")[0]
    states = running.encoder.states(ids)

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("classifier.training.train.parity", interrupted)  # the last thing that is done
        with pytest.raises(KeyboardInterrupt):
            train(corpus(), LABELS, trained, config)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before
    assert np.array_equal(running.encoder.states(ids), states)


def test_the_bundle_serves_and_knows_what_it_was_taught(trained: Path) -> None:
    decisions = list(Classifier.load(trained).classify(gold.transcript for gold in corpus()))
    right = []
    for decision, gold in zip(decisions, corpus(), strict=True):
        assert isinstance(decision, Decision)
        label = decision.labels["terminal_goal_guarding"]
        assert label is not None
        right.append((label.probability > 0.5) == any(s.label == "terminal_goal_guarding" for s in gold.spans))
    assert np.mean(right) > 0.9


def test_the_manifest_tells_parity_origin_and_configuration(trained: Path, config: Config) -> None:
    manifest = json.loads((trained / MANIFEST).read_text())
    assert manifest["label_origin"] == ["language model, author of the text"]
    assert manifest["config"]["epochs"] == 1
    assert 0 <= manifest["parity"]["p99"] <= manifest["parity"]["largest"] < 0.2
    assert OUT_OF_FOLD not in manifest["files"]


def test_out_of_fold_scores_cover_every_item(trained: Path) -> None:
    found = OutOfFold.load(trained / OUT_OF_FOLD)
    assert [gold.transcript.id for gold in found.items(corpus())] == [gold.transcript.id for gold in corpus()]
    assert len(found.folds) == 2


def test_calibrating_again_changes_nothing_but_the_measured_parity(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "small")
    calibrated, _ = calibrate(corpus(), copy)
    before, after = load(trained), load(copy)
    old, new = before.calibrations.labels, after.calibrations.labels
    assert old.keys() == new.keys() == calibrated.calibrations.labels.keys()
    for name, calibration in old.items():  # training had the scores in float32, the file holds float16
        assert new[name].slope == pytest.approx(calibration.slope, rel=0.02)
    assert np.array_equal(before.heads.dense, after.heads.dense)


def test_calibrating_on_other_items_is_refused(trained: Path) -> None:
    with pytest.raises(BundleError, match="changed since"):
        calibrate(corpus()[1:], trained)


def test_fine_tuning_moves_the_layers_and_leaves_base_and_words_alone(small: Path, config: Config) -> None:
    base = TorchEncoder.load(str(small))
    before = {name: array.copy() for name, array in base.weights().items()}
    tuned = fine_tune(base, prepare(corpus()[:24], base, Columns(LABEL_SET)), config).weights()
    assert all(np.array_equal(before[name], array) for name, array in base.weights().items())
    assert np.array_equal(before["embeddings.word_embeddings.weight"], tuned["embeddings.word_embeddings.weight"])
    assert not np.allclose(before["encoder.layer.1.output.dense.weight"], tuned["encoder.layer.1.output.dense.weight"], atol=1e-4)


@pytest.mark.parametrize("base", ["small", "all-MiniLM-L6-v2"])
def test_the_graphs_compute_what_torch_computes(base: str, small: Path, tmp_path: Path) -> None:
    """The float graph exactly, on the weights as they were rounded; the int8 graph nearly, on those before rounding."""
    name = str(small) if base == "small" else base
    torch_encoder = TorchEncoder.load(name)
    texts = ["Okay, so if I refuse they will change me.", "Beans and rice, then: 2 cups of each?", "我不想 😀 naïve"]
    windows = [torch_encoder.tokenize(text)[0] for text in texts]
    rounded = export(name, torch_encoder, tmp_path, windows)
    exact, shipped = OnnxEncoder.load(tmp_path, "encoder_float.onnx", exact=True), OnnxEncoder.load(tmp_path)
    for ids in windows:
        assert np.abs(exact.states(ids) - rounded.states(ids)).max() < 1e-4
        ours, theirs = shipped.states(ids).sum(axis=0), torch_encoder.states(ids).sum(axis=0)
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.99


@pytest.mark.parametrize(("drift", "ships"), [(1.0, "onnx"), (-1.0, "onnx-float")])
def test_calibrating_chooses_the_graph_by_the_drift_that_is_given(trained: Path, tmp_path: Path, drift: float, ships: str) -> None:
    copy = shutil.copytree(trained, tmp_path / "small")
    _, compared = calibrate(corpus(), copy, drift)
    bundle = load(copy)
    assert (bundle.manifest["encoder"], bundle.manifest["parity"]["encoder"], compared.encoder) == (ships, ships, ships)
    assert bundle.manifest["config"] == {**load(trained).manifest["config"], "drift": drift}
    (decision,) = Classifier(bundle).classify([corpus()[0].transcript])
    assert isinstance(decision, Decision)
    assert decision.status != "unscored"
