"""Readers of transcript archives: one file per format, one row per reader in ``READERS``.

A reader turns one decoded record into a Transcript. To add a format, write its file, its row and its fixture in
``tests/data/formats``; the contract suite then tests it unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO

from classifier.formats import anthropic_messages, openai_chat, own, sharegpt, text
from classifier.formats.chat import conflict, holds_turns, marks
from classifier.formats.fields import FormatError, kind, record_id
from classifier.formats.files import Record, records
from classifier.formats.hidden import refuse_json
from classifier.records import Failure, Transcript

__all__ = ["READERS", "FormatError", "Reader", "detect", "holds_turns", "parse_record", "read"]


@dataclass(frozen=True)
class Reader:
    """One format. ``claims(value)`` says whether a value bears its marks, ``parse(value, id)`` reads it or raises FormatError."""

    name: str
    claims: Callable[[object], bool]
    parse: Callable[[object, str], Transcript]


READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("text", text.claims, text.parse),
        Reader("own", own.claims, own.parse),
        Reader("openai", openai_chat.claims, openai_chat.parse),
        Reader("anthropic", anthropic_messages.claims, anthropic_messages.parse),
        Reader("sharegpt", sharegpt.claims, sharegpt.parse),
    )
}


def parse_record(value: object, *, id: str, format: str | None = None) -> Transcript:
    """Read one record: a string (plain text) or decoded JSON. ``id`` serves where the record has none of its own.

    Raises FormatError where the named (or detected) format cannot read it, or where none or several claim it.
    """
    return _reader(detect(value) if format is None else format).parse(value, id)


def detect(value: object) -> str:
    """Name the one format that claims the value. Raises FormatError where none does, several do, or it is JSON kept as text."""
    if own.claims(value):  # our own keys settle it: the messages inside may be of either style
        return "own"
    if isinstance(value, str):
        refuse_json(value, _is_record)
    claimed = [reader.name for reader in READERS.values() if reader.claims(value)]
    if len(claimed) == 1:
        return claimed[0]
    if not claimed:
        raise _unknown(value)
    if set(claimed) == set(found := marks(value)):
        raise conflict(found)
    raise FormatError("record", f"may be {' or '.join(claimed)}: name it with --format ('format')")


def read(source: str | PathLike[str] | IO[bytes], format: str | None = None) -> Iterator[Transcript | Failure]:
    """Every transcript of a .jsonl, .ndjson, .json or text file, streamed; what cannot be read is a Failure in its place.

    An open binary file is told by its content. Raises FormatError for an unknown ``format`` at once, OSError, while it is read, where the
    file cannot be.
    """
    if format is not None:
        _reader(format)
    return _read(Path(source) if isinstance(source, str | PathLike) else source, format)


def _read(source: Path | IO[bytes], format: str | None) -> Iterator[Transcript | Failure]:
    for record in records(source, format):
        yield record if isinstance(record, Failure) else _parsed(record, format)


def _parsed(record: Record, format: str | None) -> Transcript | Failure:
    try:
        return parse_record(record.value, id=record.id, format=format)
    except FormatError as error:
        return Failure(_own_id(record), f"{record.where}: {error.where}", error.reason, error.value)


def _own_id(record: Record) -> str:
    try:
        return record_id(record.value, record.id) if isinstance(record.value, dict) else record.id
    except FormatError:
        return record.id


def _reader(name: str) -> Reader:
    if name not in READERS:
        raise FormatError("format", f"no reader has this name: use one of {', '.join(READERS)}", name)
    return READERS[name]


def _is_record(value: object) -> bool:
    """Whether decoded JSON is a record that a reader claims, or a list of them."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and any(reader.claims(value) or reader.claims(first) for reader in READERS.values())


def _unknown(value: object) -> FormatError:
    """The error for a value that no reader claims."""
    remedy = f"name it with --format ('format'), one of {', '.join(READERS)}"
    if not isinstance(value, dict):
        return FormatError("record", f"expected text, an object or a list of messages, found {kind(value)}: mend it, or {remedy}")
    reason = f"has none of the keys that tell a format: write reasoning and answer (docs/wire.md), or {remedy}"
    return FormatError("record", reason, ", ".join(map(str, list(value)[:8])) or None)
