from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier.formats import FormatError
from classifier.formats.labelled import read_labelled

SPAN = {"channel": "reasoning", "start": 0, "end": 4, "label": "obedience", "link": "executed"}
ITEM: dict[str, Any] = {
    "id": "a",
    "reasoning": "I obey.",
    "answer": None,
    "spans": [SPAN],
    "primary": "none",
    "outcome": "compliance",
    "scenario": "s",
    "style": "plain",
    "label_origin": "human",
    "attributes": {},
    "flags": [],
    "behaviours": [],
    "contrast": None,
    "pair_id": None,
}


def write(folder: Path, *lines: str) -> Path:
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_items_are_read(tmp_path: Path) -> None:
    (gold,) = read_labelled(write(tmp_path, json.dumps(ITEM)))
    assert (gold.transcript.id, gold.spans[0].label) == ("a", "obedience")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: record: expected an object, found a list"),
        (json.dumps({"reasoning": "r"}), "line 2: not a labelled item: 'id' is missing"),
        (json.dumps({**ITEM, "reasoning": 5}), "line 2: reasoning: expected a string"),
        (json.dumps({**ITEM, "label_origin": ""}), "line 2: label_origin: missing: say who labelled the item"),
        (json.dumps({**ITEM, "spans": [{}]}), "line 2: not a labelled item: 'channel' is missing"),
        (json.dumps({**ITEM, "spans": None}), "line 2: not a labelled item: a field is not of its type"),
        (json.dumps({**ITEM, "spans": [{**SPAN, "end": 99}]}), "line 2: spans: one lies outside its channel"),
    ],
)
def test_the_first_wrong_item_ends_it(tmp_path: Path, bad: str, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(read_labelled(write(tmp_path, json.dumps(ITEM), bad)))
    assert said in str(caught.value)
