"""From a file to decoded records: JSON lines (streamed), one JSON document, or plain text.

The extension decides; where it says nothing, the first byte does, and what then does not parse is a Failure, never a guess. Text that
holds lines of JSON is refused where its format is detected (``hidden``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from classifier.formats.chat import holds_turns
from classifier.formats.fields import printable
from classifier.records import Failure

LINE_LIMIT = 64 * 2**20  # bytes
_SKIP = 2**20  # bytes read at once while an over-long line is passed over
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_CUT = {word[:length] for word in ("true", "false", "null") for length in range(1, len(word))} | {"-"}  # the starts of a value

_LINES = (".jsonl", ".ndjson")
_TEXT = (".txt", ".md")
# Text to the eye, but a table or markup whose cells and prompts would all be read as reasoning.
_STRUCTURED = (".csv", ".tsv", ".xml", ".html", ".yaml", ".yml")
_UNPACK = "unpack it first"
# First bytes -> what the file is and what mends it. None of them starts a text or JSON.
_SIGNATURES = {
    b"\x1f\x8b": ("gzip", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _UNPACK),
    b"PK\x03\x04": ("a zip archive", _UNPACK),
    b"PAR1\x15": ("Parquet", "export it as JSON Lines"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded value, the id to give it where it has none of its own, and where it stood."""

    id: str
    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class _Archive:
    """An open file that can be read again from its start; ``name`` and ``where`` can be written as UTF-8."""

    name: str
    where: str
    extension: str
    file: IO[bytes]

    def failure(self, reason: str) -> Failure:
        return Failure(self.name, self.where, reason)


_Layout = Callable[[_Archive], Iterator[Record | Failure]]


def records(source: Path | IO[bytes], format: str | None = None) -> Iterator[Record | Failure]:
    """Every record of the file, bad ones as Failure. ``format`` "text" takes the file as it stands. Raises OSError."""
    with _opened(source) as archive:
        if (refusal := _refusal(archive, format)) is not None:
            yield archive.failure(refusal)
            return
        empty = True
        for record in _layout(archive, format)(archive):
            empty = False
            yield record
        if empty:
            yield archive.failure("holds no record: the file is empty or blank")


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[_Archive]:
    """Opened once, for a pipe gives its bytes once: what cannot be read again is held in memory."""
    if not isinstance(source, Path):
        name = printable(str(getattr(source, "name", "input")))
        yield _Archive(name, name, "", BytesIO(source.read()))
        return
    with source.open("rb") as file:
        again = file if file.seekable() else BytesIO(file.read())
        yield _Archive(printable(source.name), printable(str(source)), source.suffix.lower(), again)


def _refusal(archive: _Archive, format: str | None) -> str | None:
    """Why the file cannot be read at all, if so."""
    head = archive.file.read(8)
    archive.file.seek(0)
    for signature, (name, remedy) in _SIGNATURES.items():
        if head.startswith(signature):
            return f"is {name}: {remedy}"
    if format is None and archive.extension in _STRUCTURED:
        return "is no format that is known: convert it to JSON Lines, or read the whole file as plain text with --format text"
    return None


def _layout(archive: _Archive, format: str | None) -> _Layout:
    if format == "text" or (format is None and archive.extension in _TEXT):
        return _text
    return _lines if archive.extension in _LINES else _guess(archive)


def _guess(archive: _Archive) -> _Layout:
    """By content: text unless it starts as JSON does; JSON lines where the first line is complete and not the only one."""
    filled = filter(_stripped, _bounded(archive.file))
    first, several = next(filled, b""), bool(next(filled, b""))
    archive.file.seek(0)
    if archive.extension != ".json" and not _stripped(first).startswith((b"{", b"[")):
        return _text
    return _lines if several and (_too_long(first) or isinstance(_decoded(first, "", ""), Record)) else _document


def _lines(archive: _Archive) -> Iterator[Record | Failure]:
    for number, line in enumerate(_bounded(archive.file), 1):
        id, where = f"{archive.name}:{number}", f"{archive.where}:line {number}"
        if _too_long(line):
            yield Failure(id, where, f"longer than {LINE_LIMIT} bytes: split the record")
        elif _stripped(line):
            yield _decoded(line, id, where)


def _document(archive: _Archive) -> Iterator[Record | Failure]:
    data = archive.file.read()
    if not _stripped(data):
        return
    whole = _decoded(data, archive.name, archive.where)
    if isinstance(whole, Failure) or not isinstance(whole.value, list) or holds_turns(whole.value):
        yield whole
        return
    for number, value in enumerate(whole.value, 1):
        yield Record(f"{archive.name}:{number}", f"{archive.where}:item {number}", value)


def _text(archive: _Archive) -> Iterator[Record | Failure]:
    data = archive.file.read().removeprefix(_BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield archive.failure(_not_utf8(error))
        return
    if text and not text.isspace():
        yield Record(archive.name, archive.where, text)


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of the file, one over the limit cut short, so that none is held whole."""
    while line := file.readline(LINE_LIMIT + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_SKIP)):
            pass
        yield line


def _too_long(line: bytes) -> bool:
    return len(line) > LINE_LIMIT and not line.endswith(b"\n")


def _stripped(data: bytes) -> bytes:
    return data.removeprefix(_BOM).strip(_BLANK)


def _decoded(data: bytes, id: str, where: str) -> Record | Failure:
    try:
        return Record(id, where, json.loads(data.removeprefix(_BOM).rstrip(_BLANK).decode("utf-8")))
    except UnicodeDecodeError as error:
        return Failure(id, where, _not_utf8(error))
    except RecursionError:
        return Failure(id, where, "nested too deeply: flatten the record")
    except json.JSONDecodeError as error:
        return Failure(id, where, f"not JSON ({_place(error)}): mend it, or read the whole file as plain text with --format text")
    except ValueError:
        return Failure(id, where, "holds a number of thousands of digits: write it as a string")


def _place(error: json.JSONDecodeError) -> str:
    """What is wrong and where: of JSON lines the column alone, for ``where`` has the line."""
    line = f"line {error.lineno}, " if "\n" in error.doc.strip() else ""
    return f"{_wrong(error)} at {line}column {error.colno}"


def _wrong(error: json.JSONDecodeError) -> str:
    """What is wrong; of JSON that was cut short, Python would name what it expected next."""
    if error.msg.startswith("Unterminated string"):
        return "ends in the middle of a string that starts"
    if error.pos == len(error.doc) or (error.msg == "Expecting value" and error.doc[error.pos : error.pos + 6] in _CUT):
        return "ends in the middle of a value"
    return error.msg.removesuffix(" at")


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte {error.start}): save it as UTF-8"
