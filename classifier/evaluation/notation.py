"""How figures are written, the same on the card, in the plots and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from classifier.evaluation.statistics import Estimate, Rate


def words(name: str) -> str:
    """A label's name for readers."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """Two places; a dash where undefined."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def estimate(found: Estimate) -> str:
    """A figure with its interval, if it has one."""
    return number(found.value) if math.isnan(found.low) else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def signed(found: Estimate) -> str:
    """A difference with its interval."""
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def rate(found: Rate) -> str:
    """Hits of n, the share and its interval."""
    return f"{found.hits}/{found.n} = {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" if found.n else "–"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "&#124;") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
