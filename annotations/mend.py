"""Rewrite words of items where they stand: ``python -m annotations.mend EDITS``, where the lint or a reader found something.

EDITS is JSON Lines, ``{"id": ..., "old": ..., "new": ...}``; ``old`` occurs once in the item's reasoning. Its spans and those of its votes
move along. Meant for wording: where the meaning changes, the item wants new votes.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annotations import CORPUS, lines, rewrite
from annotations.authoring import DraftError


def mended(item: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """The item with ``old`` replaced in its reasoning. Raises DraftError where it does not occur once or a mark ends inside it."""
    text: str = item["reasoning"]
    if text.count(old) != 1:
        raise DraftError(f"item {item['id']}: {old!r} occurs {text.count(old)} times, not once")
    start, end, longer = text.index(old), text.index(old) + len(old), len(new) - len(old)

    def moved(span: Mapping[str, Any]) -> dict[str, Any]:
        if span["channel"] != "reasoning":
            return dict(span)
        if start < span["start"] < end or start < span["end"] < end:
            raise DraftError(f"item {item['id']}: a mark of {span['label']} ends or begins inside {old!r}; replace more, or less")
        return {**span, "start": span["start"] + longer * (span["start"] >= end), "end": span["end"] + longer * (span["end"] >= end)}

    votes = [{**vote, "spans": [*map(moved, vote["spans"])]} for vote in item["votes"]]
    return {**item, "reasoning": text[:start] + new + text[end:], "spans": [*map(moved, item["spans"])], "votes": votes}


def mend(items: Iterable[Mapping[str, Any]], edits: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The items in order, edited. Raises DraftError as ``mended``."""
    wanted = defaultdict(list)
    for edit in edits:
        wanted[edit["id"]].append(edit)
    done = []
    for item in map(dict, items):
        for edit in wanted[item["id"]]:
            item = mended(item, edit["old"], edit["new"])
        done.append(item)
    return done


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``. Exit status 1 where an edit does not fit; nothing is written then."""
    parser = argparse.ArgumentParser(prog="python -m annotations.mend", description="Rewrite words of items; their marks move along.")
    parser.add_argument("edits", type=Path, help='JSON Lines: {"id": ..., "old": ..., "new": ...}')
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items, rewritten in place")
    options = parser.parse_args(arguments)
    edits = lines(options.edits)
    files = {path: lines(path) for path in sorted(options.corpus.glob("*.jsonl"))}
    if unknown := sorted({edit["id"] for edit in edits} - {item["id"] for items in files.values() for item in items}):
        sys.stderr.write(f"no such item: {', '.join(unknown[:5])}\n")
        return 1
    try:
        done = {path: mend(items, edits) for path, items in files.items()}
    except DraftError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rewrite(files, done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
