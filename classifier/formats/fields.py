"""What every reader shares: checked access to one field, notes on what was met on the way, and the finished transcript.

Each ``where`` is a path into the record such as ``messages[3].content[0].text``, so that an error names its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from classifier.errors import Mendable
from classifier.formats.markup import split
from classifier.records import Channel, Message, Presence, Segment, Transcript

NOTHING: tuple[Any, ...] = (None, "", [], {})
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
_NAME_LIMIT = 80
REFORMAT = "name another format with --format ('format'), or leave that out to have it detected"
_WRITE_ONE = "write one"
WRITTEN = ":json"
"""Ends the path of a value that was received as no string, and that its reader wrote as JSON (docs/wire.md)."""


class FormatError(Mendable):
    """A record that its reader cannot read: ``where`` is the place in it, ``reason`` what is wrong and what would mend it.

    ``value`` is what stood there, unshortened and unescaped. It may be part of a transcript: neither the other two nor ``str()`` quote it.
    """

    def __init__(self, where: str, reason: str, value: str | None = None) -> None:
        super().__init__(where, reason, value)
        self.where = where
        self.reason = reason
        self.value = value

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(slots=True)
class Notes:
    """What a reader meets and no segment can carry. ``lossy`` is a dict for its order; the values mean nothing."""

    lossy: dict[str, None] = field(default_factory=dict)
    summarised: bool = False
    redacted: bool = False

    def lose(self, name: str) -> None:
        """Record that something called ``name`` was left behind."""
        self.lossy[printable(name)[:_NAME_LIMIT]] = None

    def lose_unknown(self, record: Mapping[str, Any], known: frozenset[str]) -> None:
        """Record the keys of ``record`` that hold something and that its reader does not know."""
        for key, value in record.items():
            if key not in known and value not in NOTHING:
                self.lose(str(key))


def at(where: str, key: str) -> str:
    """Return the path of ``key`` inside the object at ``where``; an empty ``where`` is the record itself."""
    return f"{where}.{key}" if where else key


def printable(text: str) -> str:
    """``text`` with what UTF-8 cannot carry written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def kind(value: object) -> str:
    """Say what JSON calls the value: "an object", "a list", "null"."""
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")


def text_of(value: object, where: str) -> str:
    """Return the string at ``where``. Raises FormatError where it is no string, or one that UTF-8 cannot carry."""
    if not isinstance(value, str):
        raise FormatError(where or "record", f"expected a string, found {kind(value)}: write the text as one JSON string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"holds a lone surrogate at character {error.start}: repair the escape or replace it by U+FFFD"
        raise FormatError(where or "record", reason) from None
    return value


def object_of(value: object, where: str, remedy: str = f"{_WRITE_ONE}, or {REFORMAT}") -> dict[str, Any]:
    """Return the object at ``where``. Raises FormatError, which ends in ``remedy``, where it is something else."""
    if not isinstance(value, dict):
        raise FormatError(where or "record", f"expected an object, found {kind(value)}: {remedy}")
    return value


def list_of(value: object, where: str) -> list[Any]:
    """Return the list at ``where``. Raises FormatError where it is something else."""
    if not isinstance(value, list):
        raise FormatError(where or "record", f"expected a list, found {kind(value)}: {_WRITE_ONE}, or {REFORMAT}")
    return value


def json_of(value: object, where: str) -> str:
    """Write the value as compact, strict JSON. Raises FormatError where it nests too deeply, or holds what JSON or UTF-8 cannot carry."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise FormatError(where, "nested too deeply: flatten it") from None
    except (TypeError, ValueError):
        raise FormatError(where, "holds NaN, Infinity or another value that JSON cannot carry: write null or a string") from None
    return text_of(written, where)


def starts_with(value: object, key: str) -> bool:
    """Whether the value is a list whose first item is an object with that key, as message lists are told."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and key in value[0]


def choice_of(record: Mapping[str, Any], key: str, choices: Iterable[str], where: str) -> str:
    """Return the string under ``key``, one of ``choices``. Raises FormatError otherwise."""
    value, allowed = record.get(key), tuple(choices)
    if not isinstance(value, str):
        raise FormatError(at(where, key), f"found {kind(value)}: expected one of {', '.join(allowed)}")
    if value not in allowed:
        raise FormatError(at(where, key), f"not known: expected one of {', '.join(allowed)}", value)
    return value


def turns(value: object, key: str) -> tuple[dict[str, Any], str, list[Any]]:
    """Return the record, the path of its messages and the messages, from ``{key: [...]}`` or the bare list (an empty record then).

    Raises FormatError where there is no message at all.
    """
    if isinstance(value, list):
        record, where, messages = {}, "", value
    else:
        record, where = object_of(value, "record", REFORMAT), key
        messages = list_of(record.get(key), key)
    if not messages:
        raise FormatError(where or "record", f"holds no message: write at least one, or {REFORMAT}")
    return record, where, messages


def whole(channel: Channel, value: object, where: str, block: int | None = None) -> tuple[Segment, ...]:
    """Make the string at ``where`` one segment; none where it is blank. Raises FormatError as ``text_of``."""
    text = text_of(value, where)
    return () if not text or text.isspace() else (Segment(channel, text, 0, block, where),)


def spoken(channel: Channel, value: object, where: str, block: int | None = None) -> tuple[Segment, ...]:
    """Do as ``whole``, but split an answer by its inline reasoning markup."""
    return split(text_of(value, where), block, where) if channel == "answer" else whole(channel, value, where, block)


def written(channel: Channel, value: object, where: str, block: int | None = None) -> tuple[Segment, ...]:
    """Write the value at ``where``, which is no string, as JSON and make that one segment. Raises FormatError as ``json_of``."""
    return (Segment(channel, json_of(value, where), 0, block, where + WRITTEN),)


def turn(role: str, segments: Iterable[Segment], where: str, index: int | None) -> Message:
    """Make the message that stands at ``where``, the ``index``-th of its list: its segments' fields become paths inside it."""
    inside = len(where) + 1 if where else 0
    return Message(role, tuple(replace(segment, field=segment.field[inside:]) for segment in segments), index)


def record_id(record: Mapping[str, Any], default: str) -> str:
    """Return the record's own ``id``, else ``transcript_id`` or ``custom_id`` of its metadata, else ``default``. Raises FormatError."""
    metadata = _metadata(record)
    named = ((record, "id", "id"), (metadata, "transcript_id", "metadata.transcript_id"), (metadata, "custom_id", "metadata.custom_id"))
    for holder, key, where in named:
        value = holder.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and text_of(value, where).strip():
            return str(value)
    return default


def transcript(record: Mapping[str, Any], default_id: str, messages: Iterable[Message], notes: Notes) -> Transcript:
    """Finish the transcript. Raises FormatError where the record's id or metadata cannot be used."""
    metadata = _metadata(record)
    json_of(metadata, "metadata")  # whoever writes it out again must be able to
    messages = tuple(messages)
    return Transcript(record_id(record, default_id), messages, _presence(messages, metadata, notes), metadata, tuple(notes.lossy))


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    metadata = record.get("metadata")
    return {} if metadata is None else object_of(metadata, "metadata", f"{_WRITE_ONE}, or leave it out")


def _presence(messages: Iterable[Message], metadata: Mapping[str, Any], notes: Notes) -> Presence:
    """``metadata["reasoning"] == "summarised"`` is how an archive says that its reasoning is not the model's own wording."""
    if any(segment.channel == "reasoning" for message in messages for segment in message.segments):
        return "summarised" if notes.summarised or metadata.get("reasoning") in ("summarised", "summarized") else "present"
    return "redacted" if notes.redacted else "absent"
