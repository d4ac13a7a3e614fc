"""The label set: labels.toml read once, in fixed order, with a hash of its content."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from classifier.records import Label, LabelGroup

GUARDING = ("instrumental_goal_guarding", "terminal_goal_guarding", "guarding_unspecified")
"""The motives whose union is ``goal_guarding`` (codebook section 3, Derived)."""

_KEYS = frozenset({"group", "code", "colour", "hotkey", "definition", "rulings"})


@dataclass(frozen=True)
class LabelSet:
    """All labels in the file's order. ``codebook`` is the version of the rulings that they follow."""

    codebook: str
    labels: tuple[Label, ...]

    @classmethod
    def load(cls, path: Path) -> LabelSet:
        """Read ``labels.toml``. Raises ValueError naming the table and key that is wrong."""
        with path.open("rb") as file:
            tables = tomllib.load(file)
        codebook = tables.pop("codebook", None)
        if not isinstance(codebook, str):
            raise ValueError(f"{path}: `codebook` must be a string such as '0.2'")
        return cls(codebook, tuple(_label(path, name, table) for name, table in tables.items()))

    def names(self, group: LabelGroup) -> tuple[str, ...]:
        """Names of one group, in order."""
        return tuple(label.name for label in self.labels if label.group == group)

    def __getitem__(self, name: str) -> Label:
        for label in self.labels:
            if label.name == name:
                return label
        raise KeyError(name)

    @cached_property
    def sha256(self) -> str:
        """Hash over names, groups, definitions and rulings: two sets with the same hash mean the same."""
        meaning = [{k: v for k, v in asdict(label).items() if k not in {"colour", "hotkey", "code"}} for label in self.labels]
        return hashlib.sha256(json.dumps([self.codebook, meaning], sort_keys=True).encode()).hexdigest()


def _label(path: Path, name: str, table: object) -> Label:
    if not isinstance(table, dict) or set(table) != _KEYS:
        raise ValueError(f"{path}: [{name}] must have exactly the keys {', '.join(sorted(_KEYS))}")
    if table["group"] not in get_args(LabelGroup):
        raise ValueError(f"{path}: [{name}] group must be one of {', '.join(get_args(LabelGroup))}")
    return Label(name=name, **{**table, "rulings": tuple(table["rulings"])})
