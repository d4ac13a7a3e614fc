"""The codebook's labels, the corpus labelled by them, and the tools that write, check and describe it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
LABELS = Path(__file__).with_name("labels.toml")


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file: items, or marks."""
    with path.open(encoding="utf-8", newline="\n") as file:  # texts may hold other signs that end a line for str.splitlines
        return [json.loads(line) for line in file if line.strip()]


def rewrite(files: Mapping[Path, Sequence[Any]], changed: Mapping[Path, Sequence[Any]]) -> None:
    """Write the files whose objects have changed, each as a whole or not at all."""
    for path, items in changed.items():
        if items != files[path]:
            part = path.with_suffix(".part")
            part.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
            os.replace(part, path)
