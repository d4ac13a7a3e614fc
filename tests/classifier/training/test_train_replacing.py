"""A model is replaced as a whole or not at all, under the feet of a process that runs on it."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from classifier.training.train import OPENINGS, replacing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an old model with a card."""
    (tmp_path / "model").mkdir()
    for name in ("encoder.weights", "README.md"):
        (tmp_path / "model" / name).write_bytes(b"old")
    return tmp_path / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}


def test_nothing_of_the_old_folder_survives_but_what_is_mapped(folder: Path) -> None:
    with (folder / "encoder.weights").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        with replacing(folder) as new:
            (new / "encoder.weights").write_bytes(b"")
            assert (folder / "README.md").read_bytes() == b"old"
        assert mapped[:] == b"old"
    assert contents(folder) == {"model/encoder.weights": b""}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_first_model_needs_no_old_one(tmp_path: Path) -> None:
    with replacing(tmp_path / "models" / "first") as new:
        (new / "a").write_bytes(b"a")
    assert contents(tmp_path / "models") == {"models/first/a": b"a"}


def test_others_may_read_the_new_folder(folder: Path) -> None:
    before = folder.stat().st_mode
    with replacing(folder):
        pass
    assert folder.stat().st_mode == before


def test_an_interrupted_run_leaves_all_as_it_was(folder: Path) -> None:
    before = contents(folder)
    run = replacing(folder)
    (run.__enter__() / "encoder.weights").write_bytes(b"half")
    assert run.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    assert contents(folder) == before


def test_a_swap_that_fails_is_taken_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = contents(folder), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == folder and not self.name.endswith(".old"):
            raise OSError("disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk"), replacing(folder):
        pass
    assert contents(folder) == before


def test_a_new_model_does_not_forget_that_the_test_was_opened(folder: Path) -> None:
    (folder / OPENINGS).write_text("once\n")
    with replacing(folder) as new:
        (new / "file").write_text("new")
    assert (folder / OPENINGS).read_text() == "once\n"
