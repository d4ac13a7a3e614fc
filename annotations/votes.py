"""Add another annotator's votes to labelled items: ``python -m annotations.votes MARKS... --annotator WHO``.

Marks are lines as ``annotations.authoring`` reads them. Nothing is decided here: the item keeps its labels, and every vote is kept with who
cast it, under which codebook. Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annotations.authoring import LABELS, Compiler, DraftError
from classifier.labels import LabelSet

CORPUS = Path(__file__).with_name("corpus")
_SAID = ("codebook", "spans", "labels", "primary", "outcome", "behaviours", "attributes", "flags")
"""What a vote says; the item itself says what was made of all votes."""


def with_vote(item: Mapping[str, Any], vote: Mapping[str, Any]) -> dict[str, Any]:
    """The item with this vote in place of an older one by the same annotator, or after the others.

    The first vote is completed from the item's labels, which are its own until somebody adjudicates.
    """
    first, *others = item["votes"]
    if "spans" not in first:
        first = {"annotator": first["annotator"], **{key: item[key] for key in _SAID}}
    if first["annotator"] == vote["annotator"]:
        raise DraftError(f"item {item['id']}: {vote['annotator']!r} cast the vote that its labels were made of; name another")
    kept = [earlier for earlier in (first, *others) if earlier["annotator"] != vote["annotator"]]
    return {**item, "votes": [*kept, vote]}


def add_votes(items: Iterable[Mapping[str, Any]], marks: Mapping[str, Mapping[str, Any]], annotator: str, compiler: Compiler) -> list[Any]:
    """The items in order, those with marks by id with a vote more. Raises DraftError naming the item whose marks do not fit it."""
    return [with_vote(item, compiler.vote(item, marks[item["id"]], annotator)) if item["id"] in marks else item for item in items]


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``. Exit status 1 where marks are wrong; nothing is written then."""
    parser = argparse.ArgumentParser(prog="python -m annotations.votes", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("marks", nargs="+", type=Path, help="files of marks, one item a line")
    parser.add_argument("--annotator", required=True, help="who voted, e.g. 'language model, second, blind'")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items, rewritten in place")
    options = parser.parse_args(arguments)
    compiler = Compiler(LabelSet.load(LABELS))
    marks = {row["id"]: row for file in options.marks for row in _lines(file)}
    files = {path: _lines(path) for path in sorted(options.corpus.glob("*.jsonl"))}
    if unknown := sorted(set(marks) - {item["id"] for items in files.values() for item in items}):
        sys.stderr.write(f"no such item: {', '.join(unknown[:5])}\n")
        return 1
    try:
        voted = {path: add_votes(items, marks, options.annotator, compiler) for path, items in files.items()}
    except DraftError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path, items in voted.items():
        if items != files[path]:
            part = path.with_suffix(".part")
            part.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
            os.replace(part, path)
    sys.stdout.write(f"{len(marks)} votes by {options.annotator!r}\n")
    return 0


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:  # texts may hold other signs that end a line for str.splitlines
        return [json.loads(line) for line in file if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
