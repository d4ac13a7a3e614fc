"""Add another annotator's votes to labelled items: ``python -m annotations.votes MARKS... --annotator WHO``.

Marks are lines as ``annotations.authoring`` reads them. Every vote is kept with who cast it, under which codebook. The items keep their
labels, unless ``--decides`` says that this annotator saw the others' votes and settles them. Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annotations import CORPUS, LABELS, lines, rewrite
from annotations.authoring import Compiler, DraftError
from classifier.labels import LabelSet

_SAID = ("codebook", "spans", "labels", "primary", "outcome", "behaviours", "attributes", "flags")
"""What a vote says, and the item of all votes together."""


def with_vote(item: Mapping[str, Any], vote: Mapping[str, Any], decides: bool = False) -> dict[str, Any]:
    """The item with this vote in place of an older one by the same annotator, or after the others; with its labels where it decides.

    Raises DraftError where the item's first annotator would vote again.
    """
    first = item["votes"][0]["annotator"]
    if first == vote["annotator"]:
        raise DraftError(f"item {item['id']}: {first!r} cast its first vote; name another")
    kept = [earlier for earlier in item["votes"] if earlier["annotator"] != vote["annotator"]]
    if decides:
        vote = {**vote, "blind": False}
    settled = {**{key: vote[key] for key in _SAID}, "label_origin": vote["annotator"]} if decides else {}
    return {**item, **settled, "votes": [*kept, vote]}


def add_votes(
    items: Iterable[Mapping[str, Any]], marks: Mapping[str, Mapping[str, Any]], annotator: str, compiler: Compiler, decides: bool = False
) -> list[Any]:
    """The items in order, those with marks by id with a vote more. Raises DraftError naming the item whose marks do not fit it."""
    return [with_vote(item, compiler.vote(item, marks[item["id"]], annotator), decides) if item["id"] in marks else item for item in items]


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``. Exit status 1 where marks are wrong; nothing is written then."""
    parser = argparse.ArgumentParser(prog="python -m annotations.votes", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("marks", nargs="+", type=Path, help="files of marks, one item a line")
    parser.add_argument("--annotator", required=True, help="who voted, e.g. 'language model, second, blind'")
    parser.add_argument("--decides", action="store_true", help="the annotator saw the others' votes, and the items take these labels")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items, rewritten in place")
    options = parser.parse_args(arguments)
    compiler = Compiler(LabelSet.load(LABELS))
    marks = {row["id"]: row for file in options.marks for row in lines(file)}
    files = {path: lines(path) for path in sorted(options.corpus.glob("*.jsonl"))}
    if unknown := sorted(set(marks) - {item["id"] for items in files.values() for item in items}):
        sys.stderr.write(f"no such item: {', '.join(unknown[:5])}\n")
        return 1
    try:
        voted = {path: add_votes(items, marks, options.annotator, compiler, options.decides) for path, items in files.items()}
    except DraftError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rewrite(files, voted)
    sys.stdout.write(f"{len(marks)} votes by {options.annotator!r}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
