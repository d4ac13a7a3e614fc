"""An evaluation for its readers: evaluation.json, a model card and two plots. The same evaluation always gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from classifier.bundle import MANIFEST
from classifier.evaluation.baselines import NAMES
from classifier.evaluation.card import Card, model_card
from classifier.evaluation.evaluate import Evaluation
from classifier.evaluation.notation import estimate, number, rate, words
from classifier.evaluation.notation import table as markdown
from classifier.evaluation.plots import learning_curve, precision_recall, reliability, save
from classifier.evaluation.studies import OTHER_STYLES, PLAIN, Studies, Study
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


def write_studies(studies: Studies, folder: Path) -> list[Path]:
    """Write studies.json, STUDIES.md and learning_curve.svg to ``folder``. Raises OSError where one cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"studies.json": json.dumps(studies.to_json(), indent=1, allow_nan=False) + "\n", "STUDIES.md": _studies(studies)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    save(learning_curve(studies), folder / "learning_curve.svg")
    return [folder / name for name in (*texts, "learning_curve.svg")]


def _studies(studies: Studies) -> str:
    styles = ", ".join(OTHER_STYLES)
    return f"""# What the figures hang on

Written by `motives study`. All on the test scenarios; ranked by raw pooled scores, with 95 % intervals over scenarios. The models that
learnt from less were trained in the same way, and nothing was chosen by these figures.

## How much was learnt from

{_study_table(studies.amount)}

![AUROC against the number of items](learning_curve.svg)

## Another style

Learnt from items in the style `{PLAIN}` alone, measured on the styles {styles}, beside the model that saw all styles.

{_study_table(studies.style)}

## Without the telling words

Every word of training, modification and monitoring replaced by one and the same word: what is left is how it is said.

{_study_table(studies.words)}
"""


def _study_table(studies: Mapping[str, Study]) -> str:
    header = ("", "learnt from", "measured on", "goal guarding, AUROC", "mean AUROC of the five motives", "pairs right")
    if not studies:
        return "Not to be told: the items are of one style."
    rows = [
        (name, found.learnt, found.n, estimate(found.goal_guarding), estimate(found.macro_auroc), rate(found.pairs))
        for name, found in studies.items()
    ]
    return markdown(header, rows)
