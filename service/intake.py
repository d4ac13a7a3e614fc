"""From the bytes of a request to what it asks for. Whatever is wrong with them is a Problem that does not repeat them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

from classifier.bundle import Bundle
from classifier.formats import READERS, FormatError, holds_turns, parse_record
from classifier.labels import LabelSet
from classifier.reading import FAKING, GATE
from classifier.records import LabelGroup, Transcript
from service.problems import Problem
from service.settings import Settings

MODES = ("classifier",)
"""Modes that are on. Judges are not."""

KEEPABLE: tuple[LabelGroup, ...] = ("motive", "other_reason", "attribute", "behaviour")
"""Groups of the labels that an answer lists by name, and of which a request may keep some."""

DERIVED = (GATE, FAKING)
"""Labels that stand beside the groups in every answer: a request may name them, which changes nothing."""

_OPTION = re.compile(rf"--format(?: ({'|'.join(READERS)})\b)?(?: \('format'\))?")
_TEXTS = ("model", "mode", "format")
_KEYS = ("input", "labels", *_TEXTS)


@dataclass(frozen=True, slots=True)
class Order:
    """What one request asks for. ``labels`` are the names to keep in the answer, None for all."""

    transcripts: tuple[Transcript, ...]
    labels: frozenset[str] | None


class Bodies:
    """The request bodies in memory: each of a limited size and time to arrive, and all of them together of a limited size."""

    def __init__(self, settings: Settings) -> None:
        self._limit, self._total, self._seconds = settings.max_body_bytes, settings.max_held_bytes, settings.body_seconds
        self._held = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body, counted as it streams in and until the context ends. Raises Problem."""
        _check_headers(request, self._limit)
        body = bytearray()
        try:
            await self._fill(body, request)
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._hold(len(chunk), len(body))
        except TimeoutError:
            detail = f"It has to arrive within {self._seconds:g} seconds."
            raise Problem("slow-body", detail, headers={"Connection": "close"}) from None

    def _hold(self, more: int, size: int) -> None:
        self._held += more
        if size > self._limit:
            raise _too_large(self._limit)
        if self._held > self._total:
            raise Problem("queue-full", "Too many bodies are being read at once; try again.", retry_after=1)


def _check_headers(request: Request, limit: int) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Problem("unsupported-media-type", "Send JSON with the header Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported-media-type", "Send the body without Content-Encoding.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"It may hold at most {limit:,} bytes: send fewer items at a time.", limit=limit)


def parse(body: bytes, settings: Settings, bundle: Bundle) -> Order:
    """Read a request for this bundle. Raises Problem; where any entry of the input cannot be read, it lists all that cannot."""
    asked = _checked(decode(body, settings.max_json_depth))
    if asked.get("model") not in (None, bundle.name):
        raise Problem("unknown-model", f"This service answers by {bundle.name!r}: name that, or leave `model` out.", served=bundle.name)
    if asked.get("mode") not in (None, *MODES):
        raise Problem("invalid-request", f"mode: not on here; on is {', '.join(MODES)}.", modes=MODES)
    labels = _kept(asked.get("labels"), bundle.labels)
    entries = _entries(asked["input"])
    if len(entries) > settings.max_items:
        detail = f"It holds {len(entries):,}; at most {settings.max_items:,} may come at a time."
        raise Problem("too-many-items", detail, limit=settings.max_items)
    return Order(_transcripts(entries, asked.get("format")), labels)


def decode(body: bytes, depth: int) -> object:
    """Decode strict JSON in UTF-8, nested at most ``depth`` containers deep. Raises Problem saying where it goes wrong."""
    try:
        value: object = json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Problem("invalid-json", f"Byte {error.start} is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Problem("invalid-json", f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}.") from None
    except ValueError:
        raise Problem("invalid-json", "It holds NaN, Infinity or a number of thousands of digits: write null or a string.") from None
    except RecursionError:
        raise _too_deep(depth) from None
    if _deeper(value, depth):
        raise _too_deep(depth)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _too_deep(depth: int) -> Problem:
    return Problem("invalid-json", f"It nests more than {depth} levels deep: flatten it.", limit=depth)


def _deeper(value: object, depth: int) -> bool:
    """Whether containers nest more than ``depth`` deep; level by level, for recursion would meet its own limit first."""
    level = [value]
    for _ in range(depth + 1):
        level = [c for v in level if isinstance(v, dict | list) for c in (v.values() if isinstance(v, dict) else v)]
    return any(isinstance(v, dict | list) for v in level)


def _checked(value: object) -> dict[str, Any]:
    """The request object, its keys and their types checked."""
    if not isinstance(value, dict):
        raise _wrong("body", "expected an object with the key `input`")
    if "input" not in value:
        raise _wrong("input", "missing")
    if not value.keys() <= set(_KEYS):
        raise _wrong("body", f"holds an unknown key; known are {', '.join(_KEYS)}")
    for key in _TEXTS:
        if not isinstance(value.get(key), str | None):
            raise _wrong(key, "expected a string")
    if value.get("format") not in (None, *READERS):
        raise _wrong("format", f"unknown; expected one of {', '.join(READERS)}")
    return value


def _wrong(where: str, reason: str) -> Problem:
    return Problem("invalid-request", f"{where}: {reason}.")


def _kept(names: object, labels: LabelSet) -> frozenset[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong("labels", "expected a list of label names")
    known = [*(name for group in KEEPABLE for name in labels.names(group)), *DERIVED]
    if not set(names) <= set(known):
        raise Problem("invalid-request", f"labels: holds an unknown name; known are {', '.join(known)}.", known=known)
    return frozenset(names)


def _entries(value: object) -> list[object]:
    """The input as a list of records: of a conversation's messages, one record; of any other list, one each."""
    if isinstance(value, str | dict):
        return [value]
    if isinstance(value, list) and value:
        return [value] if holds_turns(value) else value
    raise _wrong("input", "expected text, a transcript, or a list of these that is not empty")


def _transcripts(entries: Sequence[object], format: str | None) -> tuple[Transcript, ...]:
    read: list[Transcript] = []
    errors: list[dict[str, object]] = []
    for index, entry in enumerate(entries):
        try:
            read.append(parse_record(entry, id=str(index), format=format))
        except FormatError as error:
            errors.append({"index": index, "where": error.where, "reason": _for_request(error.reason)})  # never its value
    if errors:
        detail = f"{len(errors)} of {len(entries)} entries cannot be read, so none was scored; `errors` says where and why."
        raise Problem("unreadable-input", detail, errors=errors)
    return tuple(read)


def _for_request(reason: str) -> str:
    """A reader's reason with the request's key in place of the command's option."""
    return _OPTION.sub(lambda option: f'`"format": "{option[1]}"`' if option[1] else "`format`", reason)
