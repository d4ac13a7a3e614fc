"""Plain text: one string, reasoning where nothing says otherwise."""

from __future__ import annotations

from classifier.formats.fields import text_of, whole
from classifier.formats.markup import has_marks, split
from classifier.records import Message, Presence, Transcript


def claims(value: object) -> bool:
    """Whether the value is a string."""
    return isinstance(value, str)


def parse(value: object, id: str) -> Transcript:
    """One assistant message. Text without any mark is reasoning (``assumed``). Raises FormatError where the value is no usable string."""
    text = text_of(value, "")  # the record is itself the string
    marked = has_marks(text)
    segments = split(text) if marked else whole("reasoning", text, "")
    found: Presence = "present" if marked else "assumed"
    reasoning = found if any(segment.channel == "reasoning" for segment in segments) else "absent"
    return Transcript(id, (Message("assistant", segments),), reasoning)
