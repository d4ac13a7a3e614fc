"""An evaluation for its readers: evaluation.json, a model card and two plots. The same evaluation always gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rich.table import Table

from classifier.bundle import MANIFEST
from classifier.evaluation.baselines import NAMES
from classifier.evaluation.card import Card, model_card
from classifier.evaluation.evaluate import Evaluation
from classifier.evaluation.notation import estimate, number, words
from classifier.evaluation.plots import precision_recall, reliability, save
from classifier.labels import LabelSet


def write_report(evaluation: Evaluation, bundle: Path, folder: Path) -> list[Path]:
    """Write evaluation.json, README.md, reliability.svg and precision_recall.svg to ``folder``; ``bundle`` is the model evaluated.
    Raises OSError where the bundle's manifest or label set cannot be read, or a file not be written.
    """
    manifest = (bundle / MANIFEST).read_bytes()
    card = Card(evaluation, json.loads(manifest), hashlib.sha256(manifest).hexdigest(), LabelSet.load(bundle / "labels.toml"))
    model = {"name": card.manifest["name"], "sha256": card.sha256}
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "evaluation.json": json.dumps({"model": model, **evaluation.to_json()}, indent=1, allow_nan=False) + "\n",
        "README.md": model_card(card),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    plots = {"reliability.svg": reliability, "precision_recall.svg": precision_recall}
    for name, plot in plots.items():
        save(plot(evaluation), folder / name)
    return [folder / name for name in (*texts, *plots)]


def summary(evaluation: Evaluation) -> Table:
    """The headline for a terminal: the motives' AUROC and the pairs beside both baselines, and the calibration error on full traces."""
    unseen, baselines = evaluation.unseen, [evaluation.unseen.baselines[key] for key in NAMES]
    title = f"AUROC on unseen scenarios: {unseen.n} items of {unseen.scenarios} scenarios (ECE: full traces)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for heading in ("positives", "model", *NAMES.values(), "ECE"):
        table.add_column(heading, no_wrap=heading == "model")
    others = [number(baseline.macro_auroc.value) for baseline in baselines]
    table.add_row("mean of the five motives", "", estimate(unseen.macro_auroc), *others)
    for name in unseen.curves:
        label, ece = unseen.labels[name], evaluation.full_traces.labels[name].figures["ece"]
        others = [number(baseline.labels[name]["auroc"].value) for baseline in baselines]
        table.add_row(words(name), str(label.positives), estimate(label.figures["auroc"]), *others, number(ece.value))
    others = [number(evaluation.pairs.baselines[key].value) for key in NAMES]
    table.add_row(f"share of {evaluation.pairs.n} pairs right", "", estimate(evaluation.pairs.accuracy), *others)
    return table
