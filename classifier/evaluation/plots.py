"""Pictures of an evaluation: how far probabilities can be trusted, and what recall costs in precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from classifier.evaluation.evaluate import Evaluation
from classifier.evaluation.notation import number, words
from classifier.evaluation.statistics import BINS
from classifier.evaluation.studies import Studies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Told apart under the common colour-vision deficiencies (Okabe and Ito 2008); line styles tell them apart in print."""
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))


def reliability(evaluation: Evaluation) -> Figure:
    """Share of positives against mean probability by equal-mass bin, one panel a label; on the diagonal where calibrated."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    kinds = (evaluation.full_traces, "#0072B2", "o", "full traces"), (evaluation.unseen, "#D55E00", "x", "all items")
    for panel, name in enumerate(evaluation.unseen.curves):
        axes = figure.add_subplot(2, 3, panel + 1, aspect="equal")
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        for headline, colour, marker, kind in kinds:
            curve, label = headline.curves[name], headline.labels[name]
            text = f"{kind}, n = {label.n} ({label.positives} positive)"
            axes.plot(curve.probability, curve.share, color=colour, marker=marker, markersize=4, linewidth=1, label=text)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
        axes.set_title(words(name), pad=26)
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 0.98), frameon=False)
    figure.supxlabel(f"Calibrated probability (mean of each of {BINS} equal-mass bins)")
    figure.supylabel("Share of items that have the label")
    return figure


def precision_recall(evaluation: Evaluation) -> Figure:
    """Precision against recall, over full traces and over all items, one line a label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    for panel, (headline, kind) in enumerate(((evaluation.full_traces, "full traces"), (evaluation.unseen, "all items")), start=1):
        axes = figure.add_subplot(1, 2, panel, xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title(f"{kind}, n = {headline.n}")
        for (name, curve), colour, line in zip(headline.curves.items(), _COLOURS, _LINES, strict=False):
            label = headline.labels[name]
            text = f"{words(name)} ({label.positives} positive, AP {number(label.figures['average_precision'].value)})"
            axes.plot(curve.recall, curve.precision, color=colour, linestyle=line, linewidth=1.4, label=text)
        if headline.curves:
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
        axes.grid(color="#dddddd", linewidth=0.5)
    return figure


def learning_curve(studies: Studies) -> Figure:
    """AUROC on the test scenarios against the number of items learnt from, with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(1, 1, 1, xlabel="Items learnt from", ylabel="AUROC on the test scenarios", xscale="log")
    found = list(studies.amount.values())
    items = [study.learnt for study in found]
    curves = ("goal guarding", [study.goal_guarding for study in found]), ("mean of the motives", [study.macro_auroc for study in found])
    for (name, estimates), colour, line in zip(curves, _COLOURS[1:], _LINES, strict=False):
        values = [estimate.value for estimate in estimates]
        reach = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
        axes.errorbar(items, values, reach, color=colour, linestyle=line, marker="o", capsize=3, linewidth=1.4, label=name)
    axes.set_xticks(items, [str(count) for count in items], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(loc="lower right", frameon=False)
    axes.grid(color="#dddddd", linewidth=0.5)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write SVG whose bytes depend on the figure alone: fixed ids, no date, text as text."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "stated-motives", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
