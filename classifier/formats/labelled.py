"""Labelled items (corpus and gold files): our own record plus spans, labels and where they came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifier.formats import own
from classifier.formats.fields import FormatError, object_of
from classifier.formats.files import records
from classifier.records import Failure, GoldLabel, Span, Transcript


def read_labelled(path: Path) -> Iterator[GoldLabel]:
    """Items of one ``.jsonl`` file, or of every one in a folder, in name order.

    Raises FormatError naming file and line of the first item that is wrong: training must not go on without it.
    """
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        for record in records(file):
            if isinstance(record, Failure):
                raise FormatError(record.where, record.reason, record.value)
            try:
                yield _item(object_of(record.value, "record", "write one, as docs/guides/writing-a-corpus.md describes"))
            except FormatError as error:
                raise FormatError(f"{record.where}: {error.where}", error.reason, error.value) from error
            except KeyError as missing:  # the key is ours
                raise FormatError(record.where, f"not a labelled item: {missing} is missing") from missing
            except TypeError as error:
                raise FormatError(record.where, "not a labelled item: a field is not of its type", str(error)) from error


def _item(record: dict[str, Any]) -> GoldLabel:
    transcript = own.parse(record, record["id"])
    if not record["label_origin"]:
        raise FormatError("label_origin", "missing: say who labelled the item")
    spans = tuple(Span(s["channel"], s["start"], s["end"], s["label"], s["link"]) for s in record["spans"])
    _check(spans, transcript)
    return GoldLabel(
        transcript=transcript,
        spans=spans,
        primary=record["primary"],
        outcome=record["outcome"],
        scenario=record["scenario"],
        style=record["style"],
        label_origin=record["label_origin"],
        attributes=record["attributes"],
        flags=tuple(record["flags"]),
        behaviours=tuple(record["behaviours"]),
        contrast=record["contrast"],
        pair_id=record["pair_id"],
    )


def _check(spans: tuple[Span, ...], transcript: Transcript) -> None:
    """Every span lies inside its channel's text. A labelled item is flat, so each channel is one string."""
    lengths = {segment.channel: segment.start + len(segment.text) for _, segment in transcript.segments("reasoning", "answer")}
    for span in spans:
        if not 0 <= span.start < span.end <= lengths.get(span.channel, 0):
            raise FormatError("spans", "one lies outside its channel", f"{span.label} {span.channel} [{span.start}, {span.end})")
