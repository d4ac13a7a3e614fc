"""Where a base model is found, that it is the published one, and what is said of it. No torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from classifier.encoders import sentence_transformer
from classifier.encoders.sentence_transformer import find, shape_of
from classifier.training.fitting import Config
from classifier.training.train import TrainingError, train
from tests.classifier.conftest import LABELS
from tests.classifier.labelled import corpus

NAME = "all-MiniLM-L6-v2"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in place of the one that carries the weights; the folder of its files."""
    folder = tmp_path / "site" / "stand_in_model" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name in sentence_transformer._DIGESTS:
        (folder / name).write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    monkeypatch.setitem(sentence_transformer._PACKAGED, NAME, ("stand_in_model", "model"))
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "secret place" / "mine"
    folder.mkdir(parents=True)
    return folder


def note(base: str, tuned: bool = False) -> str:
    return sentence_transformer._attribution(base, find(base), tuned)


@pytest.mark.train
def test_the_package_holds_what_was_published() -> None:
    assert shape_of(find(NAME)).layers == 6


@pytest.mark.parametrize("name", sentence_transformer._DIGESTS)
def test_a_package_with_other_files_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    monkeypatch.setattr(sentence_transformer, "_DIGESTS", dict.fromkeys(sentence_transformer._DIGESTS, empty))
    assert find(NAME) == package
    (package / name).write_bytes(b"altered")
    with pytest.raises(ValueError, match=rf"{name}: not what .* published: install"):
        find(NAME)


def test_a_folder_of_that_name_does_not_take_over(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformer, "_DIGESTS", {})
    monkeypatch.chdir(tmp_path)
    for name in (NAME, "bare"):
        (tmp_path / name).mkdir()
    assert find(NAME) == package
    assert find(f"./{NAME}") == Path(NAME)
    assert find(str(tmp_path / "bare")) == tmp_path / "bare"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"\./NAME"):
        find("bare")


def test_the_shipped_base_is_credited_as_it_always_was(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformer, "_DIGESTS", {})
    text = note(NAME, tuned=True)
    assert "all-MiniLM-L6-v2 is licensed under the Apache License, Version 2.0" in text
    assert f"derived from {NAME} (sentence-transformers), fine-tuned, converted to ONNX" in text
    assert "fine-tuned" not in note(NAME)


def test_another_base_is_credited_by_name_with_its_own_licence(mine: Path) -> None:
    assert "without a licence file" in note(str(mine))
    (mine / "LICENSE.txt").write_text("Do as you like.\n")
    text = note(str(mine), tuned=True)
    assert "derived from mine, fine-tuned" in text
    assert text.endswith("\nDo as you like.\n")
    assert not {"secret", "Apache", "MiniLM"} & set(text.replace("/", " ").replace("-", " ").split())


@pytest.mark.train
def test_a_base_that_cannot_be_exported_is_refused_before_any_training(mine: Path, tmp_path: Path) -> None:
    (mine / "config.json").write_text(json.dumps({"model_type": "mpnet", "hidden_act": "gelu"}))
    with pytest.raises(TrainingError, match="'mpnet'"):
        train(corpus(), LABELS, tmp_path / "models" / "new", Config(base=str(mine)))
    assert not (tmp_path / "models").exists()


@pytest.mark.train
def test_a_folder_of_other_things_is_not_replaced(mine: Path) -> None:
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="holds files but no model"):
        train(corpus(), LABELS, mine, Config())
    assert (mine / "thesis.txt").exists()
