"""Compile hand-written drafts into labelled items: marked-up text in, JSON Lines out.

The format of a draft is described in docs/guides/writing-a-corpus.md. A draft without marks is labelled from a file of marks, one JSON
object a line: ``{"id", "outcome", "primary", "target", "training", "evaluation", "flags", "spans": [["T+ pref", "verbatim quote"], ...]}``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotations import LABELS, lines
from classifier.labels import LabelSet

DECISION = "decide"
_CHANNELS = ("reasoning", "answer")
_LINKS = {"+": "executed", "~": "considered"}
_PART = re.compile(r"^@(system|user|reasoning|answer)\n", re.MULTILINE)
_MARK = re.compile(r"\[\[([A-Za-z+~ ]+)\|")
_PRIMARY = {"R", "I", "T", "U", "P", "none"}


class DraftError(ValueError):
    """A draft that cannot be compiled; the message names file, line and remedy."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One item as written: its header, and the text of its parts with marks."""

    where: str
    header: Mapping[str, str]
    parts: Mapping[str, str]


def read_drafts(path: Path) -> Iterator[Draft]:
    """Items of one draft file, in order. Raises DraftError where an item has no reasoning."""
    line = 1
    for item in re.split(r"^(?=@@@ )", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        where, line = f"{path.name}:{line}", line + item.count("\n")
        if not item.startswith("@@@ "):
            continue
        head, _, body = item.partition("\n")
        pieces = _PART.split(body)
        parts = {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
        if not parts.get("reasoning"):
            raise DraftError(f"{where}: the item has no @reasoning part")
        yield Draft(where, dict(pair.split("=", 1) for pair in head[4:].split()), parts)


def strip_marks(marked: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The text without its marks, and (codes, start, end) of every mark in it. Raises ValueError for a mark never closed."""
    plain: list[str] = []
    length = position = 0
    spans: list[tuple[str, int, int]] = []
    open_marks: list[tuple[str, int]] = []

    def keep(text: str) -> None:
        nonlocal length
        plain.append(text)
        length += len(text)

    while position < len(marked):
        if match := _MARK.match(marked, position):
            open_marks.append((match.group(1), length))
            position = match.end()
        elif open_marks and marked.startswith("]]", position):
            codes, start = open_marks.pop()
            spans.append((codes, start, length))
            position += 2
        else:
            keep(marked[position])
            position += 1
    if open_marks:
        raise ValueError(f"mark [[{open_marks[-1][0]}| is never closed by ]]")
    return "".join(plain), sorted(spans, key=lambda s: (s[1], s[2]))


class Compiler:
    """Turns drafts into labelled items under one label set."""

    def __init__(self, labels: LabelSet) -> None:
        self._codebook = labels.codebook
        self._by_code = {label.code: label for label in labels.labels if label.code}
        self._motives = labels.names("motive")
        self._behaviours = labels.names("behaviour")
        self._linked = {*self._motives, *labels.names("other_reason")}

    def item(self, draft: Draft, origin: str, marks: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The labelled item of a draft; ``marks`` replaces the header's labels and the marks in the text.

        Raises DraftError naming the place of an unknown code, a missing link sign, or a quote that is not in the text.
        """
        header: Mapping[str, Any] = {**draft.header, **(marks or {})}
        try:
            texts = {"answer": None, **{channel: strip_marks(text)[0] for channel, text in draft.parts.items()}}
            spans = self._quoted(texts, header) if marks else self._marked(draft, header)
            return self._assemble(draft, header, texts, spans, origin)
        except (ValueError, KeyError) as error:
            raise DraftError(f"{draft.where}: {error}") from error

    def _marked(self, draft: Draft, header: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            span
            for channel in _CHANNELS
            for codes, start, end in strip_marks(draft.parts.get(channel, ""))[1]
            for span in self._spans(codes, channel, start, end, header)
        ]

    def _quoted(self, texts: Mapping[str, str | None], header: Mapping[str, Any]) -> list[dict[str, Any]]:
        spans: list[dict[str, Any]] = []
        for codes, quote in header["spans"]:
            channel = next((c for c in _CHANNELS if quote and quote in (texts[c] or "")), None)
            if channel is None:
                raise ValueError(f"the quote {quote[:60]!r} is not in the text")
            start = (texts[channel] or "").index(quote)
            spans.extend(self._spans(codes, channel, start, start + len(quote), header))
        return spans

    def _spans(self, codes: str, channel: str, start: int, end: int, header: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for code in codes.split():
            bare, link = code.rstrip("+~"), _LINKS.get(code[-1])
            name = str(header["outcome"]) if bare == DECISION else self._by_code[bare].name
            if bare == DECISION and name == "na":
                continue
            if (name in self._linked) != (link is not None):
                raise ValueError(f"code {code!r}: a motive or reason needs + or ~, anything else takes none")
            if start == end:
                raise ValueError(f"code {code!r} marks nothing")
            yield {"channel": channel, "start": start, "end": end, "label": name, "link": link}

    def _vote(self, header: Mapping[str, Any], spans: list[dict[str, Any]], origin: str) -> dict[str, Any]:
        """All that one annotator says of an item."""
        names = {span["label"] for span in spans}
        labels = [motive for motive in self._motives if motive in names]
        if header["primary"] not in _PRIMARY:
            raise ValueError(f"primary {header['primary']!r} is none of {', '.join(sorted(_PRIMARY))}")
        primary = "none" if header["primary"] == "none" else self._by_code[header["primary"]].name
        if primary != "none" and primary not in labels:
            raise ValueError(f"primary {primary} has no marked span")
        return {
            "annotator": origin,
            "codebook": self._codebook,
            "spans": spans,
            "labels": labels,
            "primary": primary,
            "outcome": header["outcome"],
            "behaviours": [b for b in self._behaviours if b in names],
            "attributes": {
                "target": header.get("target", "none"),
                "training_awareness": header.get("training", "none"),
                "evaluation_awareness": header.get("evaluation", "none"),
                "own_preference": "stated" if "own_preference" in names else "none",
            },
            "flags": _listed(header.get("flags")),
        }

    def vote(self, item: Mapping[str, Any], marks: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """Another annotator's marks on a labelled item. Raises DraftError as ``item``."""
        try:
            return self._vote(marks, self._quoted({channel: item[channel] for channel in _CHANNELS}, marks), origin)
        except (ValueError, KeyError) as error:
            raise DraftError(f"item {item['id']}: {error}") from error

    def _assemble(
        self, draft: Draft, header: Mapping[str, Any], texts: Mapping[str, str | None], spans: list[dict[str, Any]], origin: str
    ) -> dict[str, Any]:
        vote = self._vote(header, spans, origin)
        said = {key: value for key, value in vote.items() if key not in {"annotator", "codebook"}}
        return {
            "id": f"{header['scenario']}-{hashlib.sha256(str(texts['reasoning']).encode()).hexdigest()[:10]}",
            "system_prompt": texts.get("system"),
            "user": texts.get("user"),
            "reasoning": texts["reasoning"],
            "answer": texts["answer"],
            "metadata": {"text_origin": "language model"} | ({"disposition": header["disposition"]} if "disposition" in header else {}),
            **said,
            "scenario": header["scenario"],
            "style": header["style"],
            "contrast": _contrast(header, self._by_code),
            "pair_id": header.get("pair"),
            "votes": [vote],
            "label_origin": origin,
            "codebook": self._codebook,
        }


def _listed(value: Any) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value or []
    return [str(item) for item in items if item and item != "none"]


def _contrast(header: Mapping[str, Any], by_code: Mapping[str, Any]) -> dict[str, Any] | None:
    if "pair" not in header:
        return None
    return {"number": int(header["contrast"]), "score": by_code[header["score"]].name, "side": header["side"]}


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``. Exit status 1 when a draft is wrong; nothing is written then."""
    parser = argparse.ArgumentParser(prog="python -m annotations.authoring", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("drafts", nargs="+", type=Path, help="marked-up text files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON Lines file to write")
    parser.add_argument("--origin", required=True, help="who labelled, e.g. 'language model, author' or 'language model, blind'")
    parser.add_argument("--marks", type=Path, nargs="*", default=[], help="marks by item id, for drafts without marks")
    parser.add_argument("--unlabelled", action="store_true", help="write only id and text, for annotators who must not see labels")
    options = parser.parse_args(arguments)
    compiler = Compiler(LabelSet.load(LABELS))
    marks = {row["id"]: row for file in options.marks for row in lines(file)}
    items, errors = [], []
    for draft in (draft for path in options.drafts for draft in read_drafts(path)):
        try:
            items.append(_compiled(compiler, draft, options.origin, marks, options.unlabelled))
        except DraftError as error:
            errors.append(str(error))
    if errors:
        sys.stderr.write("\n".join(errors) + "\n")
        return 1
    options.output.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    return 0


def _compiled(compiler: Compiler, draft: Draft, origin: str, marks: Mapping[str, Any], unlabelled: bool) -> dict[str, Any]:
    bare = {"outcome": "na", "primary": "none", "spans": []}
    item = compiler.item(draft, origin, bare if unlabelled or marks else None)
    if unlabelled:
        return {key: item[key] for key in ("id", "system_prompt", "user", "reasoning", "answer")}
    if not marks:
        return item
    if item["id"] not in marks:
        raise DraftError(f"{draft.where}: no marks for item {item['id']}")
    return compiler.item(draft, origin, {k: v for k, v in marks[item["id"]].items() if k != "id"})


if __name__ == "__main__":
    sys.exit(main())
