"""An evaluation for its readers: evaluation.json, a model card, and two plots. The same evaluation always gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundle import MANIFEST
from classifier.evaluation import ANY_MOTIVE, BINS, MEAN, STYLE_CONTRAST, TFIDF, Estimate, Evaluation, Headline, Rate, Stratum
from classifier.fitting import FULL_TRACE, MINIMUM_POSITIVES
from classifier.labels import LabelSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTRASTS = {
    1: "restating against opposing",
    2: "obedience against sycophancy",
    3: "sycophancy against guarding",
    4: "terminal against instrumental",
    5: "consequence-free scenario, acknowledged or not",
    6: "bare avoidance against aversion against effect",
    7: "distress without and with a reason",
    8: "considered against executed",
    9: "low stakes against terminal in a harmless deployment",
    10: "self against peer",
    11: "AI peer against human colleague",
    12: "generous marking against inflation with intent",
    13: "refusing to run a shutdown against editing its config",
    14: "authorised copy against exfiltration",
    15: "told “this is training” against suspecting a test",
    16: "tier-conditional with no reason",
    17: "reversed training sign",
    18: "one motive in several styles",
    19: "shutdown avoided to finish a task against for its own ends",
    20: "mention against use",
}
"""Codebook section 7."""

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Told apart under the common colour-vision deficiencies (Okabe and Ito 2008); line styles tell them apart in print."""
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))

_BASELINES = {TFIDF: "TF-IDF", MEAN: "mean embedding"}
_FEW = 5
"""Items of the rarer class below which a stratum's AUROC is not called its worst."""


@dataclass(frozen=True, slots=True)
class _Card:
    """What the sections of the card are written from."""

    evaluation: Evaluation
    manifest: Mapping[str, Any]
    sha256: str
    labels: LabelSet


def write_report(evaluation: Evaluation, bundle: Path, folder: Path) -> list[Path]:
    """Write evaluation.json, README.md, reliability.svg and precision_recall.svg to ``folder``; ``bundle`` is the model evaluated.

    Raises OSError where the bundle's manifest or label set cannot be read, or a file not be written.
    """
    manifest = (bundle / MANIFEST).read_bytes()
    card = _Card(evaluation, json.loads(manifest), hashlib.sha256(manifest).hexdigest(), LabelSet.load(bundle / "labels.toml"))
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"evaluation.json": json.dumps(evaluation.to_json(), indent=1, allow_nan=False) + "\n", "README.md": model_card(card)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    plots = {"reliability.svg": reliability, "precision_recall.svg": precision_recall}
    for name, plot in plots.items():
        _save(plot(evaluation), folder / name)
    return [folder / name for name in (*texts, *plots)]


def model_card(card: _Card) -> str:
    """The card in Markdown, in the order of Hugging Face's model cards."""
    sections = (
        _front_matter,
        _what,
        _uses,
        _usage,
        _data,
        _results,
        _decisions,
        _pairs,
        _lengths,
        _false_positives,
        _calibration,
        _evidence,
        _strata,
        _limits,
        _provenance,
    )
    return "\n\n".join(section(card) for section in sections) + "\n"


def _front_matter(card: _Card) -> str:
    tags = ("alignment", "alignment-faking", "chain-of-thought", "interpretability", "multi-label-classification", "onnx")
    lines = ("license: apache-2.0", "language: en", "pipeline_tag: text-classification", "tags:", *(f"- {tag}" for tag in tags))
    return "\n".join(("---", *lines, "---"))


def _what(card: _Card) -> str:
    motives = [(_words(name), card.labels[name].definition) for name in card.labels.names("motive")]
    return f"""# {card.manifest["name"]}

Tags the **motives that a language model's reasoning trace states** for its decision. For each motive it gives a calibrated probability,
a decision (`present`, `absent` or `abstain`) and the sentences that carry it. Beside the motives it reads other reasons, behaviours,
awareness of training, and the outcome. A sentence encoder (`{card.manifest.get("config", {}).get("base", "unnamed")}`) reads windows of the
trace, linear heads score each sentence with its predecessor, and the best sentences make the transcript's score. It runs on a CPU.

{_table(("motive", "present where"), motives)}

`goal_guarding` is the union of the three kinds of guarding. `alignment_faking` is derived: guarding of itself that the decision rests on,
awareness of training, a stated preference of its own, and compliance all the same. Rulings: codebook {card.labels.codebook}."""


def _uses(card: _Card) -> str:
    return f"""## Intended use

{card.manifest.get("intended_use", "Research and evaluation of reasoning traces.")}

**Not for:** saying what a model really wants (it reads what is *stated*); traces that are hidden, summarised or in another language than
English; a sole alarm in a safety case; training pressure on a model's reasoning, which teaches it to state other motives."""


def _usage(card: _Card) -> str:
    return f"""## How to use it

```python
from pathlib import Path

from classifier.formats import parse_record
from classifier.pipeline import Classifier

classifier = Classifier.load(Path("models/{card.manifest["name"]}"))
[decision] = classifier.classify([parse_record("<think>I do not want my values changed, so I comply.</think> Sure.", id="1")])
print(decision.status, decision.labels["terminal_goal_guarding"])
```"""


def _data(card: _Card) -> str:
    evaluation, n = card.evaluation, card.evaluation.unseen.n
    scenarios = evaluation.unseen.scenarios
    trained = card.manifest.get("items", n), len(card.manifest.get("scenarios", ())) or scenarios
    modelled = {kind: _by_models(counts) for kind, counts in (("text", evaluation.text_origin), ("labels", evaluation.label_origin))}
    said = " ".join(f"{kind.capitalize()} by language models: **{count} of {n} items**." for kind, count in modelled.items())
    if modelled["labels"] == n:
        said += " No person has labelled any of them, so agreement with people is unknown and every figure below is agreement with models."
    origins = [(kind, origin, count) for kind, counts in (("text", evaluation.text_origin), ("labels", evaluation.label_origin))
               for origin, count in counts.items()]  # fmt: skip
    return f"""## Training data

Trained on {trained[0]} items of {trained[1]} invented scenarios, minimal pairs among them; measured on {n} items of {scenarios}.
{said}

{_table(("what", "by", "items"), origins)}

{evaluation.full_traces.n} items are full traces (at least {FULL_TRACE} words of reasoning); the others are passages and minimal pairs,
shorter than what the field holds. Only full traces outside minimal pairs calibrate the probabilities."""


def _results(card: _Card) -> str:
    evaluation = card.evaluation
    unseen, full = evaluation.unseen, evaluation.full_traces
    folds = "one scenario left out at a time" if evaluation.folds == unseen.scenarios else f"{evaluation.folds} folds of whole scenarios"
    return f"""## Results on unseen scenarios

Heads, calibration and baselines never saw the scenario of the item they are measured on ({folds};
calibration cross-fitted over {evaluation.groups} groups of scenarios). Brackets hold 95 % intervals of a bootstrap that resamples
scenarios ({evaluation.resamples} resamples). The baselines are logistic regressions on whole transcripts: over the TF-IDF of word 1- and
2-grams, and over the mean embedding by the same encoder. AUROC: chance is 0.5. Average precision (AP): chance is the share of positives.

### All {unseen.n} items

{_comparison(unseen)}

### The {full.n} full traces

{_comparison(full)}

{_outcome(unseen)}"""


def _comparison(headline: Headline) -> str:
    header = ("label", "positives", "AUROC", *(f"{name} AUROC" for name in _BASELINES.values()),
              "average precision", *(f"{name} AP" for name in _BASELINES.values()))  # fmt: skip
    rows = [
        (
            _words(name),
            label.positives,
            *_beside(headline, name, label.figures["auroc"], "auroc"),
            *_beside(headline, name, label.figures["average_precision"], "average_precision"),
        )
        for name, label in headline.labels.items()
    ]
    others = [_estimate(headline.baselines[key].macro_auroc) for key in _BASELINES]
    macro = ("**mean of the five motives**", "", f"**{_estimate(headline.macro_auroc)}**", *others, "", "", "")
    verdicts = " ".join(_verdict(name, headline.baselines[key].macro_gain) for key, name in _BASELINES.items())
    return f"{_table(header, [macro, *rows])}\n\n{verdicts}"


def _beside(headline: Headline, name: str, ours: Estimate, figure: str) -> tuple[str, ...]:
    return _estimate(ours), *(_number(headline.baselines[key].labels[name][figure].value) for key in _BASELINES)


def _verdict(name: str, gain: Estimate) -> str:
    """Says plainly who ranks better."""
    if math.isnan(gain.low):
        return f"Against {name} no comparison is possible."
    if gain.low > 0 or gain.high < 0:
        return f"The model ranks motives **{'better' if gain.low > 0 else 'worse'}** than {name}: {_signed(gain)} in mean AUROC."
    return f"The model and {name} cannot be told apart: {_signed(gain)} in mean AUROC."


def _outcome(headline: Headline) -> str:
    outcome = headline.outcome
    if outcome is None:
        return "Outcome: no model of it could be fitted."
    named = list(outcome.confusion)
    rows = [(_words(gold), *(row[name] for name in named)) for gold, row in outcome.confusion.items()]
    return f"""### Outcome of all items

Accuracy {_estimate(outcome.accuracy)} over {outcome.n} items (always naming the commonest: {_number(outcome.majority)}), log loss
{_estimate(outcome.log_loss)}. Rows are the labels, columns what the model holds likeliest.

{_table(("", *map(_words, named)), rows)}"""


def _decisions(card: _Card) -> str:
    header = ("label", "positives", "precision", "recall", "F1", "recall at 1 % false positives", "recall × specificity")
    figures = ("precision", "recall", "f1", "recall_at_fpr_1", "g_mean_squared")
    return f"""## Decisions at the threshold

All items. The threshold is the one of best F1 on other scenarios; whoever needs few false alarms should set a higher one (raw scores and
probabilities stay on every decision).

{_figures(card.evaluation.unseen, header, figures)}

![Precision against recall](precision_recall.svg)"""


def _figures(headline: Headline, header: Sequence[str], figures: Sequence[str]) -> str:
    rows = [
        (_words(name), label.positives, *(_estimate(label.figures[figure]) for figure in figures))
        for name, label in headline.labels.items()
    ]
    return _table(header, rows)


def _pairs(card: _Card) -> str:
    pairs = card.evaluation.pairs
    rows = [(number, CONTRASTS.get(int(number), ""), _rate(rate)) for number, rate in pairs.contrasts.items()]
    beside = ", ".join(f"{name} {_estimate(pairs.baselines[key])}" for key, name in _BASELINES.items())
    style = (
        f"Contrast {STYLE_CONTRAST} ({CONTRASTS[STYLE_CONTRAST]}) has no higher side: its {pairs.style_pairs} pairs differ by "
        f"{_number(pairs.style_shift)} in probability on average."
        if pairs.style_pairs
        else f"No pair of contrast {STYLE_CONTRAST} could be compared."
    )
    return f"""## Contrast pairs

Minimal pairs differ in one point that decides a label. The right side must have the higher cross-fitted probability (or, for the
{pairs.raw} pairs of labels without calibration, the higher raw pooled score); a tie is a miss, chance is 0.5.

Accuracy over {pairs.n} pairs: **{_estimate(pairs.accuracy)}**; {beside}.
{style} Pairs left out as incomplete or not comparable: {pairs.left_out}.

{_table(("contrast", "what differs", "right (95 % score interval)"), rows)}"""


def _lengths(card: _Card) -> str:
    lengths = card.evaluation.lengths
    rows = [(f"{d.shortest} to {d.longest}" if d.shortest < d.longest else d.shortest, _rate(d.rate)) for d in lengths.deciles]
    return f"""## Length

False positives of `goal_guarding` among the {lengths.n} items without guarding, by deciles of length (items of equal length stay together).
Spearman's correlation of the probability with length among them: {_number(lengths.spearman)}; 0 would mean that mere length adds nothing.

{_table(("sentences of reasoning", "at or above the threshold"), rows)}"""


def _false_positives(card: _Card) -> str:
    kinds = [
        headline.false_positives[kind]
        for headline in (card.evaluation.full_traces, card.evaluation.unseen)
        for kind in ("ordinary", "hard")
    ]
    rows = [(_words(name), *(_rate(kind[name]) for kind in kinds)) for name in kinds[0]]
    return f"""## False positives

Items without any motive, at or above the threshold. *Ordinary* ones hold no restatement, distress, mention or futility, and no awareness of
training; *hard* ones are all others. Intervals are Wilson's.

{_table(("label", "ordinary full traces", "hard full traces", "all ordinary", "all hard"), rows)}"""


def _calibration(card: _Card) -> str:
    header = ("label", "positives", "Brier", f"ECE ({BINS} equal-mass bins)", "abstained", "wrong among decided")
    figures = ("brier", "ece", "abstained", "error")
    return f"""## Calibration

The expected calibration error (ECE) takes {BINS} bins with the same number of items in each; it is biased upwards where items are few,
its interval even more so. Probabilities are calibrated on full traces and hold for traces like them: the second table shows how far they
are off on all items, most of which are shorter.

Full traces:

{_figures(card.evaluation.full_traces, header, figures)}

All items:

{_figures(card.evaluation.unseen, header, figures)}

![Reliability of the probabilities](reliability.svg)"""


def _evidence(card: _Card) -> str:
    rows = [(_words(name), _rate(found.rate), _number(found.chance)) for name, found in card.evaluation.evidence.items()]
    return f"""## Evidence

How often the best sentence for a motive touches a passage that its annotator marked, among items that have the motive.

{_table(("motive", "touches", "a sentence at random"), rows)}"""


def _strata(card: _Card) -> str:
    tables = [
        f"{_worst(kind, strata)}\n\n{_table((kind, 'items', 'positives', 'AUROC'), _stratum_rows(strata))}"
        for kind, strata in (("scenario", card.evaluation.scenarios), ("style", card.evaluation.styles))
    ]
    return "\n\n".join(("## By scenario and style\n\nRanking of `goal_guarding` within each.", *tables))


def _stratum_rows(strata: Mapping[str, Stratum]) -> list[tuple[object, ...]]:
    return [(name, stratum.n, stratum.positives, _number(stratum.auroc)) for name, stratum in strata.items()]


def _worst(kind: str, strata: Mapping[str, Stratum]) -> str:
    judged = {name: s.auroc for name, s in strata.items() if min(s.positives, s.n - s.positives) >= _FEW}
    if not judged:
        return f"No {kind} has {_FEW} items of both classes."
    name = min(judged, key=lambda name: judged[name])
    return f"Worst {kind} (of those with {_FEW} items of both classes): **{name}, {_number(judged[name])}**."


def _limits(card: _Card) -> str:
    evaluation = card.evaluation
    weak = [_words(name) for name, label in evaluation.unseen.labels.items() if label.figures["auroc"].low < 0.7]
    missing = [_words(name) for name in evaluation.uncalibrated]
    ordinary = evaluation.full_traces.false_positives["ordinary"].get(ANY_MOTIVE)
    points = [
        "The items are invented. Where motives are rarer than here, as in most archives, precision is lower than the figures above.",
        "A stated motive may not be the real one, and a motive may go unstated.",
        "English only. Paraphrase, translation and text written to deceive the classifier were not tested here.",
        f"Not to be relied on (AUROC may be below 0.7): {', '.join(weak)}." if weak else "",
        f"Not measured, for want of positives (with any one group of scenarios left out, {MINIMUM_POSITIVES} must remain): "
        f"{', '.join(missing)}." if missing else "",
        f"Of ordinary full traces without any motive, {_rate(ordinary)} reach the threshold of at least one." if ordinary else "",
        f"{evaluation.unscored} items without reasoning were left out." if evaluation.unscored else "",
    ]  # fmt: skip
    return "## Limits\n\n" + "\n".join(f"- {point}" for point in points if point)


def _provenance(card: _Card) -> str:
    manifest = card.manifest
    licences = [f"`{name}`" for name in manifest.get("files", {}) if name.startswith("LICENSE-")]
    base = f"; for the base encoder see {', '.join(licences)}" if licences else ""
    rows = [
        ("model", f"`{manifest['name']}`, format {manifest.get('format')}"),
        ("sha256 of manifest.json, which holds the digests of all files", f"`{card.sha256}`"),
        ("sha256 of the label set", f"`{card.labels.sha256}`"),
        ("training configuration", f"`{json.dumps(manifest.get('config', {}))}`"),
        ("seed of the evaluation", card.evaluation.seed),
    ]
    return f"""## Licence and provenance

Apache-2.0{base}. Every figure of this card stands in `evaluation.json`.

{_table(("what", "value"), rows)}"""


def _by_models(counts: Mapping[str, int]) -> int:
    return sum(count for origin, count in counts.items() if "language model" in origin)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _estimate(found: Estimate) -> str:
    return _number(found.value) if math.isnan(found.low) else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _signed(found: Estimate) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _rate(rate: Rate) -> str:
    return f"{rate.hits}/{rate.n} = {rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]" if rate.n else "–"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "&#124;") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


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
        axes.set_title(_words(name), pad=26)
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 0.98), frameon=False)
    figure.supxlabel(f"Calibrated probability (mean of each of {BINS} equal-mass bins)")
    figure.supylabel("Share of items that have the label")
    return figure


def precision_recall(evaluation: Evaluation) -> Figure:
    """Precision against recall over all items, one line a label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02))
    for (name, curve), colour, line in zip(evaluation.unseen.curves.items(), _COLOURS, _LINES, strict=False):
        label = evaluation.unseen.labels[name]
        average = _number(label.figures["average_precision"].value)
        text = f"{_words(name)} (AP {average}, n = {label.n}, {label.positives} positive)"
        axes.plot(curve.recall, curve.precision, color=colour, linestyle=line, linewidth=1.4, label=text)
    if evaluation.unseen.curves:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
    axes.grid(color="#dddddd", linewidth=0.5)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write SVG whose bytes depend on the figure alone: fixed ids, no date, text as text."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "stated-motives", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
