"""From a file to decoded records: JSON lines (streamed), one JSON document, or plain text.

The extension decides; where it says nothing, the first byte does, and what then does not parse is a Failure, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from classifier.formats.fields import printable, starts_with
from classifier.records import Failure

LINE_LIMIT = 64 * 2**20  # bytes
_SKIP = 2**20  # bytes read at once while an over-long line is passed over
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded value, the id to give it where it has none of its own, and where it stood."""

    id: str
    where: str
    value: Any


def records(path: Path, format: str | None = None) -> Iterator[Record | Failure]:
    """Every record of the file, bad ones as Failure. ``format`` "text" takes the file as it stands. Raises OSError."""
    empty = True
    for record in _layout(path, format)(path):
        empty = False
        yield record
    if empty:
        yield Failure(printable(path.name), printable(str(path)), "holds no record: the file is empty or blank")


def _layout(path: Path, format: str | None) -> Callable[[Path], Iterator[Record | Failure]]:
    extension = path.suffix.lower()
    if format == "text" or (format is None and extension in (".txt", ".md")):
        return _text
    if extension in (".jsonl", ".ndjson"):
        return _lines
    return _document if extension == ".json" else _guess(path)


def _guess(path: Path) -> Callable[[Path], Iterator[Record | Failure]]:
    """By content: text unless it starts as JSON does; JSON lines where the first line is complete and not the only one."""
    with path.open("rb") as file:
        filled = filter(_stripped, _bounded(file))
        first = next(filled, b"")
        if not _stripped(first).startswith((b"{", b"[")):
            return _text
        several = bool(next(filled, b""))
    return _lines if several and (_too_long(first) or isinstance(_decoded(first, "", ""), Record)) else _document


def _lines(path: Path) -> Iterator[Record | Failure]:
    with path.open("rb") as file:
        for number, line in enumerate(_bounded(file), 1):
            id, where = f"{printable(path.name)}:{number}", f"{printable(str(path))}:line {number}"
            if _too_long(line):
                yield Failure(id, where, f"longer than {LINE_LIMIT} bytes: split the record")
            elif _stripped(line):
                yield _decoded(line, id, where)


def _document(path: Path) -> Iterator[Record | Failure]:
    name, where = printable(path.name), printable(str(path))
    data = path.read_bytes()
    if not _stripped(data):
        return
    whole = _decoded(data, name, where)
    if isinstance(whole, Failure) or not _is_many(whole.value):
        yield whole
        return
    for number, value in enumerate(whole.value, 1):
        yield Record(f"{name}:{number}", f"{where}:item {number}", value)


def _text(path: Path) -> Iterator[Record | Failure]:
    name, where = printable(path.name), printable(str(path))
    data = path.read_bytes().removeprefix(_BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Failure(name, where, _not_utf8(error))
        return
    if text and not text.isspace():
        yield Record(name, where, text)


def _is_many(value: object) -> bool:
    """Whether the list holds many records; one of messages is one record."""
    return isinstance(value, list) and not starts_with(value, "role") and not starts_with(value, "from")


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
        return Record(id, where, json.loads(data.removeprefix(_BOM).decode("utf-8")))
    except UnicodeDecodeError as error:
        return Failure(id, where, _not_utf8(error))
    except RecursionError:
        return Failure(id, where, "nested too deeply: flatten the record")
    except ValueError as error:
        return Failure(id, where, f"not JSON ({error}): mend it, or read the whole file as plain text with --format text")


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte {error.start}): save it as UTF-8"
