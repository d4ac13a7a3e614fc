"""Guard the corpus: ``python -m annotations.lint`` says what is wrong with it, and ends with status 1 where anything is.

Checked: words that two items share (eight in a row, unless they are the two sides of a pair), near-duplicates across splits, pairs whose
labels do not differ, and contrasts that a bag of words tells apart. That spans lie in the text and that everyone says who labelled is
checked as the items are read.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations import CORPUS, LABELS
from classifier.labels import LabelSet
from classifier.records import GoldLabel
from classifier.training.corpus import load, splits_of
from classifier.training.examples import link_of, truth

SHARED = 8
"""Words in a row that only the two sides of a pair may share: from there on one item was written by looking at another."""

SIMILAR = 0.5
"""Jaccard similarity of two texts' sets of three words from which they are near-duplicates."""

SEPARABLE = 0.65
"""Largest AUROC with which a bag of words, learnt on all other contrasts, may tell the sides of the contrasts apart."""

LINK_CONTRAST, STYLE_CONTRAST = 8, 18
"""The one in which both sides state the motive, and the one in which both have the same label."""

_PERMUTATIONS = 128
_WORD = re.compile(r"\w+")


def words(gold: GoldLabel) -> list[str]:
    """The reasoning's words, in lower case."""
    return [word for _, segment in gold.transcript.segments("reasoning") for word in _WORD.findall(segment.text.lower())]


def _runs(words: Sequence[str], length: int) -> set[str]:
    return {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}


def _mates(one: GoldLabel, other: GoldLabel) -> bool:
    return one.pair_id is not None and one.pair_id == other.pair_id


def shared_words(golds: Sequence[GoldLabel]) -> Iterator[str]:
    """Pairs of items, other than pair-mates, that share SHARED words in a row."""
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for i, gold in enumerate(golds):
        for run in _runs(words(gold), SHARED):
            holders[run].append(i)
    found: dict[tuple[int, int], str] = {}
    for run, items in sorted(holders.items()):
        for pair in combinations(items, 2):
            found.setdefault(pair, run)
    for (i, j), run in sorted(found.items()):
        if not _mates(golds[i], golds[j]):
            yield f"{golds[i].transcript.id} and {golds[j].transcript.id} share {run!r}: write one of them anew there"


def near_duplicates(golds: Sequence[GoldLabel], splits: Mapping[str, str]) -> Iterator[str]:
    """Near-duplicates in different splits, by MinHash: what was learnt would be asked again."""
    from datasketch import MinHash, MinHashLSH

    index, hashes = MinHashLSH(threshold=SIMILAR, num_perm=_PERMUTATIONS), list[MinHash]()
    for i, gold in enumerate(golds):
        hashed = MinHash(num_perm=_PERMUTATIONS)
        hashed.update_batch([run.encode() for run in _runs(words(gold), 3)])
        for j in sorted(index.query(hashed)):
            similarity = hashes[j].jaccard(hashed)
            if similarity >= SIMILAR and splits.get(golds[j].scenario) != splits.get(gold.scenario):
                yield f"{golds[j].transcript.id} and {gold.transcript.id} are alike ({similarity:.2f}) but in different splits"
        hashes.append(hashed)
        index.insert(i, hashed)


def undecided(golds: Sequence[GoldLabel], labels: LabelSet) -> Iterator[str]:
    """Pairs whose labels do not differ as they are said to: an adjudicator may have ruled otherwise than the author meant."""
    sides: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for gold in golds:
        if gold.contrast and gold.pair_id and gold.contrast["number"] != STYLE_CONTRAST:
            name = gold.contrast["score"]
            has = link_of(gold, name) == "executed" if gold.contrast["number"] == LINK_CONTRAST else truth(gold, name, labels)
            sides[gold.pair_id][gold.contrast["side"]] = has
    for pair, side in sorted(sides.items()):
        if side != {"high": True, "low": False}:
            yield f"pair {pair}: its labels are {side}; take its contrast away or let it be labelled anew"


def separability(golds: Sequence[GoldLabel], labels: LabelSet) -> dict[int, float]:
    """By contrast, the AUROC with which a bag of words learnt on all other contrasts' pairs ranks the sides of its own.

    The label is the one that the pair is to differ in. A contrast whose label the others hardly have is left out.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    pairs = [gold for gold in golds if gold.contrast]
    if not pairs:
        return {}
    contrasts = [gold.contrast for gold in pairs if gold.contrast]
    number = np.array([contrast["number"] for contrast in contrasts])
    high = np.array([contrast["side"] == "high" for contrast in contrasts])
    scored = np.array([contrast["score"] for contrast in contrasts])
    features = CountVectorizer(binary=True, min_df=2).fit_transform([" ".join(words(gold)) for gold in pairs])
    figures: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
    for contrast in sorted(set(number.tolist()) - {STYLE_CONTRAST}):
        for label in sorted(set(scored[number == contrast])):
            wanted: NDArray[np.bool_] = np.array([truth(gold, label, labels) for gold in pairs])
            others, own = number != contrast, (number == contrast) & (scored == label)
            if min(wanted[others].sum(), high[own].sum(), (~high[own]).sum()) >= 5:
                model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500).fit(features[others], wanted[others])
                figures[contrast].append((roc_auc_score(high[own], model.decision_function(features[own])), int(own.sum())))
    return {contrast: float(np.average([f for f, _ in found], weights=[n for _, n in found])) for contrast, found in figures.items()}


def findings(golds: Sequence[GoldLabel], splits: Mapping[str, str], labels: LabelSet) -> Iterator[str]:
    """All that is wrong."""
    yield from shared_words(golds)
    yield from near_duplicates(golds, splits)
    yield from undecided(golds, labels)
    by_contrast = separability(golds, labels)
    if by_contrast and (mean := float(np.mean(list(by_contrast.values())))) > SEPARABLE:
        worst = ", ".join(f"{number}: {auroc:.2f}" for number, auroc in sorted(by_contrast.items(), key=lambda item: -item[1])[:5])
        yield f"a bag of words tells the contrasts apart (AUROC {mean:.2f}, at most {SEPARABLE}); the worst: {worst}"


def main(arguments: list[str] | None = None) -> int:
    """Command line: see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m annotations.lint", description="Say what is wrong with the labelled corpus.")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of labelled items, with splits.toml in it or beside it")
    options = parser.parse_args(arguments)
    golds = [gold for split in ("development", "calibration", "test") for gold in load(options.corpus, split)]
    wrong = list(findings(golds, splits_of(options.corpus), LabelSet.load(LABELS)))
    sys.stdout.write("\n".join([*wrong, f"{len(golds)} items, {len(wrong)} findings"]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
