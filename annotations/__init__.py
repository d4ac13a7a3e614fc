"""The codebook's labels, the corpus labelled by them, and the tools that write, check and describe it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
LABELS = Path(__file__).with_name("labels.toml")


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file: items, or marks."""
    with path.open(encoding="utf-8", newline="\n") as file:  # texts may hold other signs that end a line for str.splitlines
        return [json.loads(line) for line in file if line.strip()]
