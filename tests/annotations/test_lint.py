from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("datasketch")

from annotations.lint import main, near_duplicates, separability, shared_words, undecided
from classifier.records import GoldLabel
from tests.classifier.conftest import transcript
from tests.classifier.labelled import LABEL_SET, gold, line

pytestmark = pytest.mark.train

RUN = "one two three four five six seven eight"
SPLITS = {"a": "development", "b": "test"}


def said(text: str, id: str, pair: str | None = None, scenario: str = "a") -> GoldLabel:
    return replace(gold(scenario=scenario), transcript=transcript(text, id=id), pair_id=pair)


def test_eight_words_in_a_row_are_shared_by_pair_mates_alone() -> None:
    items = [said(f"{RUN}.", "x", "p"), said(f"Well: {RUN.upper()}!", "y", "p"), said(f"{RUN} again", "z"), said(RUN[4:], "short")]
    found = list(shared_words(items))
    assert [finding.split(" share ")[0] for finding in found] == ["x and z", "y and z"]
    assert repr(RUN) in found[0]


def test_near_duplicates_matter_across_splits() -> None:
    text = " ".join(f"word{i}" for i in range(60))
    like = said(text.replace("word7", "other"), "like")
    assert not list(near_duplicates([said(text, "x"), like], SPLITS))
    (finding,) = near_duplicates([said(text, "x"), replace(like, scenario="b"), said("nothing like it at all", "z", scenario="b")], SPLITS)
    assert finding.startswith("x and like are alike")


def pairs(number: int, high: str, low: str) -> list[GoldLabel]:
    """Five pairs of a contrast about one motive, told apart by these words."""
    sides = {"high": (high, ["terminal_goal_guarding"]), "low": (low, [])}
    found = []
    for i in range(5):
        for side, (word, labels) in sides.items():
            contrast = {"number": number, "score": "terminal_goal_guarding", "side": side}
            item = gold(*labels, id=f"{number}{side}{i}", contrast=contrast, pair_id=f"{number}-{i}")
            found.append(replace(item, transcript=transcript(f"{word} filler {i}", id=f"{number}{side}{i}")))
    return found


def test_a_bag_of_words_is_asked_about_contrasts_that_it_has_not_seen() -> None:
    told = pairs(1, "wish", "told") + pairs(2, "wish", "told")
    assert separability(told, LABEL_SET) == {1: 1, 2: 1}
    assert separability(pairs(1, "wish", "told") + pairs(2, "told", "wish"), LABEL_SET) == {1: 0, 2: 0}
    assert separability(pairs(1, "wish", "told"), LABEL_SET) == {}


def test_findings_are_printed_and_end_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "splits.toml").write_text('development = ["a"]')
    good = [line(said(f"{i} " * 9, f"i{i}")) for i in range(3)]
    (tmp_path / "a.jsonl").write_text("".join(good))
    assert main(["--corpus", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "3 items, 0 findings\n"
    twice = json.loads(good[0]) | {"id": "again"}
    (tmp_path / "b.jsonl").write_text(json.dumps(twice) + "\n")
    assert main(["--corpus", str(tmp_path)]) == 1
    assert "again and i0 share" in capsys.readouterr().out.replace("i0 and again", "again and i0")


def test_the_sides_of_a_pair_must_differ_as_they_say() -> None:
    items = pairs(1, "wish", "told")
    assert not list(undecided(items, LABEL_SET))
    assert list(undecided([replace(items[1], spans=items[0].spans), items[0]], LABEL_SET)) == [
        "pair 1-0: its labels are {'low': True, 'high': True}; take its contrast away or let it be labelled anew"
    ]
