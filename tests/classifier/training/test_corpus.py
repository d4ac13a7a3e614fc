from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifier.training.corpus import Split, load
from tests.classifier.labelled import gold, line
from tests.conftest import ROOT


def folder(tmp_path: Path, splits: str | None) -> Path:
    (tmp_path / "corpus").mkdir()
    lines = [line(gold(scenario=s, id=f"{s}{i}")) for s in ("open", "closed") for i in range(2)]
    (tmp_path / "corpus" / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    if splits is not None:
        (tmp_path / "splits.toml").write_text(splits, encoding="utf-8")
    return tmp_path / "corpus"


def test_a_split_holds_its_scenarios_and_no_others(tmp_path: Path) -> None:
    path = folder(tmp_path, 'development = ["open"]\ntest = ["closed"]\n')
    found = {split: [g.transcript.id for g in load(path, split)] for split in ("development", "calibration", "test")}
    assert found == {"development": ["open0", "open1"], "calibration": [], "test": ["closed0", "closed1"]}


def test_a_single_file_keeps_to_the_splits_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path, 'development = ["open"]\ntest = ["closed"]\n')
    monkeypatch.chdir(path)  # where the name alone says nothing of the folder
    for file in (path / "items.jsonl", Path("items.jsonl"), Path()):
        assert [g.transcript.id for g in load(file)] == ["open0", "open1"]
        assert [g.transcript.id for g in load(file, "test")] == ["closed0", "closed1"]


def test_the_nearest_splits_count(tmp_path: Path) -> None:
    path = folder(tmp_path, "test = []\n")
    (path / "splits.toml").write_text('test = ["open", "closed"]\n', encoding="utf-8")
    assert (len(load(path)), len(load(path / "items.jsonl", "test"))) == (0, 4)


@pytest.mark.parametrize("name", ["authored_test.jsonl", "reasoned_test.jsonl"])
def test_the_closed_files_of_the_corpus_stay_closed(name: str) -> None:
    assert load(ROOT / "annotations" / "corpus" / name) == []


@pytest.mark.parametrize("name", ["", "items.jsonl"])
def test_without_splits_all_is_development(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path, None) / name
    assert len(load(path)) == 4
    assert load(path, "test") == []


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ('development = ["open"]\n', "names no split for closed"),
        ('development = ["open", "closed"]\ntest = ["closed"]\n', "closed is in development and in test"),
        ('development = ["open", "closed"]\ntrain = []\n', "unknown split train"),
    ],
)
def test_a_scenario_belongs_to_exactly_one_split(tmp_path: Path, splits: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(folder(tmp_path, splits))


def test_ids_of_the_corpus_are_its_own() -> None:
    splits: tuple[Split, ...] = ("development", "calibration", "test")
    ids = [item.transcript.id for split in splits for item in load(ROOT / "annotations" / "corpus", split)]
    assert len(ids) == len(set(ids)) > 1500


def test_two_items_of_one_id_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, None)
    with (path / "items.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(json.loads(line(gold(id="open0")))) + "\n")
    with pytest.raises(ValueError, match="open0"):
        load(path)
