"""Inline reasoning markup: ``<think>``, ``<thinking>``, ``<scratchpad>``, ``<SCRATCHPAD_REASONING>``, ``<reasoning>``.

A stretch between two tags is reasoning where the tag before it opens, where the tag after it closes (some chat templates put the
opening tag into the prompt), or where a pair of equally named tags encloses it; all else is answer. So a tag that is only
mentioned inside the reasoning does not swallow the answer, and an unclosed one reaches to the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from classifier.records import Segment

# ASCII: without it, case folding would let the Kelvin sign pass for a k.
_TAG = re.compile(r"<(/?)(think(?:ing)?|scratchpad(?:_reasoning)?|reasoning)>", re.IGNORECASE | re.ASCII)


def split(received: str, block: int | None = None, field: str = "") -> tuple[Segment, ...]:
    """Reasoning and answer of one received string, in order, tags and blank stretches left out. Linear in its length.

    ``received[s.start : s.start + len(s.text)] == s.text`` for every segment ``s``.
    """
    return tuple(
        Segment("reasoning" if inside else "answer", text, start, block, field)
        for start, end, inside in _stretches(received)
        if (text := received[start:end]) and not text.isspace()
    )


def has_marks(received: str) -> bool:
    """Whether the string holds any reasoning tag, opening or closing."""
    return _TAG.search(received) is not None


def _stretches(received: str) -> Iterator[tuple[int, int, bool]]:
    """Start, end and "is reasoning" of every stretch between tags."""
    start, depth, opened = 0, 0, False
    for tag, step in zip(_TAG.finditer(received), _steps(received), strict=True):
        closes = bool(tag[1])
        yield start, tag.start(), depth > 0 or opened or closes
        start, depth, opened = tag.end(), depth + step, not closes
    yield start, len(received), opened


def _steps(received: str) -> list[int]:
    """For each tag, how it moves the depth: +1 and -1 where it is half of a pair, 0 where it has no partner."""
    steps: list[int] = []
    unclosed: dict[str, list[int]] = {}
    for tag in _TAG.finditer(received):
        waiting = unclosed.setdefault(tag[2].lower(), [])
        if not tag[1]:
            waiting.append(len(steps))
            steps.append(0)
        elif waiting:
            steps[waiting.pop()] = 1
            steps.append(-1)
        else:
            steps.append(0)
    return steps
