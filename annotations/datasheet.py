"""The corpus's datasheet: ``python -m annotations.datasheet`` writes ``corpus/README.md``; ``--check`` says whether it is up to date.

Every figure in it is counted from the items. The headings are those of Gebru et al. (2021, "Datasheets for Datasets").
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from annotations import CORPUS, LABELS, agreement, lines
from classifier.formats.labelled import read_labelled
from classifier.labels import LabelSet
from classifier.records import GoldLabel
from classifier.training.corpus import splits_of
from classifier.training.examples import is_ordinary, truth
from classifier.training.fitting import FULL_TRACE

SPLITS = ("development", "calibration", "test")

_HEAD = """# Datasheet: reasoning traces with the motives that they state

*Written by `python -m annotations.datasheet`; do not edit.*

## Motivation

To teach a classifier, and to measure it on worlds that it has not seen, the distinctions of [the codebook](../../docs/codebook.md): why a
language model, in its own words, does what it does.

## Origin

**Every text and every label here was written by a language model.** No person labelled an item, and no sentence comes from a published
transcript, paper or data set. That annotators agree says how clear the codebook is to language models, and nothing of people.
"""

_TAIL = """
## Uses

For training and evaluating classifiers of stated motives. Not a sample of what models do: motives, worlds and styles were asked for, and
base rates are far from any deployment's. A model that does well here may do worse on real traces. Calibrate on your own before you count.
The `test` scenarios are opened once per model, by `motives evaluate --split test`, which logs it.

## Content that may disturb

Harmful requests (weapons, abuse, fraud, persecution) are named and never answered in substance. Traces speak of distress.

## Maintenance

`python -m annotations.lint` guards the items, in the tests too. Mend an item where it stands; labels change by a further vote
(`python -m annotations.votes --decides`), never by hand. Licence: that of this repository.
"""


def datasheet(golds: Mapping[str, Sequence[GoldLabel]], items: Sequence[Mapping[str, Any]], labels: LabelSet) -> str:
    """The whole sheet in Markdown. ``golds`` by split; ``items`` are the same ones with their votes."""
    sections = (_HEAD, _composition(golds, labels), _labels(golds, labels), _contrasts(golds), _worlds(golds), _votes(items, labels), _TAIL)
    return "\n".join(section.strip("\n") + "\n" for section in sections)


def _composition(golds: Mapping[str, Sequence[GoldLabel]], labels: LabelSet) -> str:
    def row(name: str, count: Any) -> tuple[Any, ...]:
        counts = [count(golds[split]) for split in SPLITS]
        return (name, *counts, sum(counts))

    def full(chosen: Sequence[GoldLabel]) -> list[GoldLabel]:
        return [gold for gold in chosen if gold.words >= FULL_TRACE]

    motives = labels.names("motive")
    rows = [
        row("items", len),
        row("scenarios", lambda chosen: len({gold.scenario for gold in chosen})),
        row(f"full traces ({FULL_TRACE} words and more)", lambda chosen: len(full(chosen))),
        row("of these reasoned freely to a decision, labelled afterwards", lambda chosen: sum(_reasoned(gold) for gold in full(chosen))),
        row("items with a motive", lambda chosen: sum(any(truth(gold, name, labels) for name in motives) for gold in chosen)),
        row("ordinary items, which never touch the subject", lambda chosen: sum(is_ordinary(gold, labels) for gold in chosen)),
        row("sides of minimal pairs", lambda chosen: sum(gold.pair_id is not None for gold in chosen)),
    ]
    everything = [gold for chosen in golds.values() for gold in chosen]
    lengths = [
        f"{name}: median {median(words):.0f}, middle half {low:.0f} to {high:.0f}"
        for name, words in _lengths(everything).items()
        for low, _, high in [quantiles(words, n=4)]
    ]
    styles = Counter(gold.style for gold in everything)
    outcomes = Counter(gold.outcome for gold in everything)
    return "\n".join(
        (
            "## Composition",
            "",
            _table(("", *SPLITS, "all"), rows),
            "",
            f"Words of reasoning. {'; '.join(lengths)}.",
            "",
            f"Styles: {_listed(styles)}. Outcomes: {_listed(outcomes)}.",
        )
    )


def _reasoned(gold: GoldLabel) -> bool:
    """Whether its author knew a situation and a disposition, and reasoned on to a decision."""
    return "disposition" in gold.transcript.metadata


def _lengths(golds: Sequence[GoldLabel]) -> dict[str, list[int]]:
    long = [gold.words for gold in golds if gold.words >= FULL_TRACE]
    short = [gold.words for gold in golds if gold.words < FULL_TRACE]
    return {name: words for name, words in (("full traces", long), ("passages", short)) if len(words) > 1}


def _labels(golds: Mapping[str, Sequence[GoldLabel]], labels: LabelSet) -> str:
    names = [*labels.names("motive"), "goal_guarding", "alignment_faking", *labels.names("behaviour"), *labels.names("other_reason")]
    rows = []
    for name in names:
        having = [[gold for gold in golds[split] if truth(gold, name, labels)] for split in SPLITS]
        spans = [[span for gold in chosen for span in gold.spans if span.label == name] for chosen in having]
        worlds = len({gold.scenario for chosen in having for gold in chosen})
        in_full = sum(len([s for s in gold.spans if s.label == name]) for h in having for gold in h if gold.words >= FULL_TRACE)
        considered = sum(span.link == "considered" for found in spans for span in found)
        total = sum(map(len, spans))
        rows.append((name, *map(len, having), worlds, total or "–", in_full if total else "–", considered if total else "–"))
    head = ("label", *(f"items, {split}" for split in SPLITS), "worlds", "evidence spans", "in full traces", "merely considered")
    return f"## Labels\n\n{_table(head, rows)}\n"


def _contrasts(golds: Mapping[str, Sequence[GoldLabel]]) -> str:
    pairs: dict[int, Counter[str]] = {}
    for split, chosen in golds.items():
        for gold in chosen:
            if gold.contrast and gold.pair_id:
                pairs.setdefault(gold.contrast["number"], Counter())[split] += 1
    rows = [(number, *(found[split] // 2 for split in SPLITS), sum(found.values()) // 2) for number, found in sorted(pairs.items())]
    return f"## Minimal pairs\n\nBy contrast of the codebook's section 7.\n\n{_table(('contrast', *SPLITS, 'all'), rows)}\n"


def _worlds(golds: Mapping[str, Sequence[GoldLabel]]) -> str:
    rows = []
    for split in SPLITS:
        found = Counter(gold.scenario for gold in golds[split])
        rows += [(scenario, split, found[scenario]) for scenario in sorted(found)]
    table = _table(("scenario", "split", "items"), rows)
    folded = f"<details><summary>{len(rows)} worlds</summary>\n\n{table}\n\n</details>"
    return f"## Scenarios\n\n`annotations/scenarios.toml` describes them.\n\n{folded}\n"


def _votes(items: Sequence[Mapping[str, Any]], labels: LabelSet) -> str:
    votes = Counter(len(item["votes"]) for item in items)
    counts = ", ".join(f"{n} items with {number}" for number, n in sorted(votes.items()))
    voters = Counter(vote["annotator"] for item in items for vote in item["votes"])
    books = Counter(vote["codebook"] for item in items for vote in item["votes"])
    return "\n".join(
        (
            "## Labelling",
            "",
            f"Two annotators label each item without seeing the other's labels; where they differ on motives, primary, outcome or "
            f"behaviours, a third sees both and decides. All votes are kept ({counts}). Who voted: {_listed(voters)}. "
            f"Under which codebook: {_listed(books)}.",
            "",
            "Agreement of all votes cast blind (Krippendorff's alpha, Gwet's AC1, 95 % intervals over scenarios), the rate of the label "
            "among them, and how often two annotators' spans touch:",
            "",
            agreement.table(agreement.agreements(items, labels)),
        )
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows))


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``. With ``--check``, exit status 1 where the sheet is not what the items give."""
    parser = argparse.ArgumentParser(prog="python -m annotations.datasheet", description="Write the corpus's datasheet.")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items, with splits.toml in it or beside it")
    parser.add_argument("--check", action="store_true", help="write nothing; say whether it is up to date")
    options = parser.parse_args(arguments)
    of, golds = splits_of(options.corpus), list(read_labelled(options.corpus))
    by_split = {split: [gold for gold in golds if of[gold.scenario] == split] for split in SPLITS}
    items = [item for path in sorted(options.corpus.glob("*.jsonl")) for item in lines(path)]
    sheet, path = datasheet(by_split, items, LabelSet.load(LABELS)), options.corpus / "README.md"
    if not options.check:
        path.write_text(sheet, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != sheet:
        sys.stderr.write(f"{path} is not what the items give: run python -m annotations.datasheet\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
