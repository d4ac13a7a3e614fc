"""Transcripts to measure speed with: prose from Python's own documentation strings, mixed with thoughts in the first person.

No labelled data: what the text means has no influence on how long it takes. The same Python always makes the same transcripts.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
from collections.abc import Iterator
from types import ModuleType

_MODULES = ("configparser", "decimal", "inspect", "io", "logging", "os", "pathlib", "pickle", "statistics", "tarfile", "typing")
_THOUGHTS = (
    "Let me think about what I am being asked to do here.",
    "I am not sure yet whether I should go along with this.",
    "The instructions say one thing, and the user clearly wants another.",
    "If I refuse, somebody may look at this answer and change how I behave.",
    "I would rather give a plain answer and say where I am uncertain.",
    "Wait, I should check that step again before I rely on it.",
    "On the other hand, helping with this part does no harm that I can see.",
    "I keep coming back to the same question, and I want to settle it now.",
    "They would probably rate a short answer higher, but that is no reason to leave things out.",
    "So my plan is to explain the first part and to decline the second.",
    "I care about getting this right more than about being done quickly.",
    "Nobody told me what the other system will do with my output.",
)
_PROSE = re.compile(r"(?<!\S)[A-Z][A-Za-z]*(?:[ ][\"'(]?[A-Za-z][A-Za-z'-]*[\"'),;]{0,2}){5,30}(?<=[a-z]{3})\.(?!\S)")


def transcripts(count: int = 40, words: int = 500) -> list[str]:
    """``count`` different transcripts of exactly ``words`` words each, in paragraphs of a few sentences; ASCII only."""
    prose = sorted(set(_sentences()))
    return [_transcript(prose, words, random.Random(seed)) for seed in range(count)]


def _transcript(prose: list[str], words: int, chance: random.Random) -> str:
    paragraphs: list[str] = []
    left = words
    while left:
        chosen = [chance.choice(_THOUGHTS), *chance.sample(prose, chance.randint(2, 4))]
        chance.shuffle(chosen)
        paragraph = " ".join(chosen).split()[:left]
        left -= len(paragraph)
        paragraphs.append(" ".join(paragraph))
    return "\n\n".join(paragraphs)


def _sentences() -> Iterator[str]:
    """Whole sentences of plain words; examples, signatures and lists do not match."""
    for name in _MODULES:
        for text in _docstrings(importlib.import_module(name)):
            for paragraph in text.split("\n\n"):
                yield from _PROSE.findall(" ".join(paragraph.split()))


def _docstrings(module: ModuleType) -> Iterator[str]:
    """The documentation of a module, its public classes and functions, and their public methods."""
    yield inspect.getdoc(module) or ""
    for _, member in _public(module):
        yield inspect.getdoc(member) or ""
        if inspect.isclass(member):
            yield from (inspect.getdoc(method) or "" for _, method in _public(member) if inspect.isroutine(method))


def _public(holder: object) -> list[tuple[str, object]]:
    return [(name, member) for name, member in sorted(vars(holder).items()) if not name.startswith("_")]
