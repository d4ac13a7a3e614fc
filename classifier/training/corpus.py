"""The labelled corpus by split: what is learnt from, what is set aside, and what stays closed until a model is finished."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

from classifier.errors import Mendable
from classifier.formats.labelled import read_labelled
from classifier.records import GoldLabel

Split = Literal["development", "calibration", "test"]


class CorpusError(Mendable):
    """A corpus that cannot be learnt from as it is."""


def load(path: Path, split: Split = "development") -> list[GoldLabel]:
    """Items of ``path`` (a .jsonl file, or a folder of them) whose scenario belongs to ``split``, in order.

    Splits are those of ``splits.toml`` in the folder or beside it, for one of its files as for all. Without one, all is ``development``.
    Raises CorpusError for an id that occurs twice and for a scenario in no split, or in two: nothing is learnt from by oversight.
    """
    items = list(read_labelled(path))
    if twice := sorted(id for id, n in Counter(item.transcript.id for item in items).items() if n > 1):
        raise CorpusError(f"{path}: more than one item has the id {', '.join(twice[:5])}; every item needs its own")
    of = splits_of(path) or {item.scenario: "development" for item in items}
    if unknown := sorted({item.scenario for item in items} - set(of)):
        raise CorpusError(f"{path}: splits.toml names no split for {', '.join(unknown)}; name each scenario once")
    return [item for item in items if of[item.scenario] == split]


def splits_of(path: Path) -> dict[str, str]:
    """The split of every scenario that the corpus's ``splits.toml`` names; empty where there is none. Raises CorpusError as ``load``."""
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    table = next((place / "splits.toml" for place in (folder, folder.parent) if (place / "splits.toml").is_file()), None)
    if table is None:
        return {}
    named = tomllib.loads(table.read_text(encoding="utf-8"))
    if extra := sorted(set(named) - set(get_args(Split))):
        raise CorpusError(f"{table}: unknown split {', '.join(extra)}; there are {', '.join(get_args(Split))}")
    of: dict[str, str] = {}
    for split, scenarios in named.items():
        for scenario in scenarios:
            if scenario in of:
                raise CorpusError(f"{table}: {scenario} is in {of[scenario]} and in {split}; name each scenario once")
            of[scenario] = split
    return of
