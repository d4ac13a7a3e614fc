from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from annotations import CORPUS, datasheet


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A few of the corpus's items, of all three splits."""
    (tmp_path / "splits.toml").write_bytes(CORPUS.with_name("splits.toml").read_bytes())
    for name in ("authored_test", "authored_calibration", "reasoned_2", "paired"):
        shutil.copyfile(CORPUS / f"{name}.jsonl", tmp_path / f"{name}.jsonl")
    return tmp_path


def row(sheet: str, name: str) -> list[str]:
    (found,) = [line for line in sheet.split("\n") if line.startswith(f"| {name} |")][:1]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_figures_are_counted_and_a_change_shows(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert datasheet.main(["--corpus", str(corpus), "--check"]) == 1
    assert "run python -m annotations.datasheet" in capsys.readouterr().err
    assert datasheet.main(["--corpus", str(corpus)]) == 0
    assert datasheet.main(["--corpus", str(corpus), "--check"]) == 0
    sheet = (corpus / "README.md").read_text()
    items = [json.loads(line) for path in corpus.glob("*.jsonl") for line in path.read_text().split("\n") if line]
    assert row(sheet, "items")[-1] == str(len(items))
    reasoned = sum("disposition" in item["metadata"] and len(item["reasoning"].split()) >= 150 for item in items)
    assert row(sheet, "of these reasoned freely to a decision, labelled afterwards")[-1] == str(reasoned) != "0"
    peers = [item for item in items if any(span["label"] == "peer_preservation" for span in item["spans"])]
    found = row(sheet, "peer_preservation")
    assert (sum(map(int, found[1:4])), found[4]) == (len(peers), str(len({item["scenario"] for item in peers})))
    (corpus / "paired.jsonl").unlink()
    assert datasheet.main(["--corpus", str(corpus), "--check"]) == 1
