"""JSON that came as text. Read as a trace its prompts would pass for reasoning, so text that may be JSON Lines is refused, not guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from classifier.formats.fields import FormatError

_REMEDY = "send its records as JSON (a file: save it as .jsonl), or name it text with --format text ('format')"
_ASKED = frozenset({"messages", "conversations", "system_prompt", "user", "reasoning"})
"""Keys of which a record has at least one where it says what the model was asked, or thought."""

_END = re.compile(r"\r\n?|\n")
# A line that opens and ends as an object does, or a list of them. Byte order marks stand where files were put together, and record
# separators in JSON text sequences.
_OBJECTS = re.compile(r'(?<![^\r\n])[ \t\ufeff\x1e]*+((?:\[[ \t]*+)?\{[ \t]*+"[^\r\n]*[}\]])[ \t]*+(?![^\r\n])')
_FILLED = re.compile(r"(?<![^\r\n])[^\r\n]*\S[^\r\n]*")


def refuse_json(text: str, is_record: Callable[[object], bool]) -> None:
    """Raise FormatError, naming the place, where the text starts with a record or may be JSON Lines. Linear in its length.

    It may be where a line is a record by itself, half of the lines or more are objects (or lists of them), or all of several lines are
    strings. ``is_record`` says what a record is. A trace may quote tool calls on lines of their own, and end with ``{"answer": ...}`` where
    JSON was asked of it: that leaves the text a text.
    """
    if is_record(_start(text)):
        raise FormatError("record", f"is JSON kept as text: {_REMEDY}")
    objects: list[int] = []
    for line in _OBJECTS.finditer(text):
        value = _decoded(line[1])
        if is_record(value) and not (isinstance(value, dict) and "answer" in value and value.keys().isdisjoint(_ASKED)):
            raise FormatError(_where(text, line.start()), f"is a record by itself: {_REMEDY}")
        if value is not None:
            objects.append(line.start())
    if len(objects) > 1 and 2 * len(objects) >= sum(1 for _ in _FILLED.finditer(text)):
        raise FormatError(_where(text, objects[0]), f"is a JSON object by itself, as many lines are: {_REMEDY}")
    if _is_strings(text):
        raise FormatError("record", f"each of its lines is a JSON string by itself: {_REMEDY}")


def _start(text: str) -> object:
    """The JSON that the text starts with, be it over many lines; None where it starts with something else."""
    written = text.lstrip()
    if not written.startswith(("{", "[")):
        return None
    try:
        return json.JSONDecoder().raw_decode(written)[0]
    except (ValueError, RecursionError):
        return None


def _decoded(line: str) -> object:
    """The line's JSON; None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_strings(text: str) -> bool:
    """Whether there are several lines that are not blank, and each of them is a JSON string. Ends at the first that is not."""
    first = _FILLED.search(text)
    several = first is not None and _FILLED.search(text, first.end()) is not None
    return several and all(_is_string(line[0].strip()) for line in _FILLED.finditer(text))


def _is_string(line: str) -> bool:
    return line.startswith('"') and isinstance(_decoded(line), str)


def _where(text: str, start: int) -> str:
    return f"line {len(_END.findall(text, 0, start)) + 1} of the text"
