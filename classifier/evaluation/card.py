"""An evaluation as a model card in Markdown, for readers who decide whether to trust the model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifier.evaluation.baselines import NAMES
from classifier.evaluation.evaluate import Evaluation, Headline
from classifier.evaluation.figures import ANY_MOTIVE, LengthGroup, LinkFigures, Stratum
from classifier.evaluation.notation import estimate, number, rate, signed, table, words
from classifier.evaluation.pairs import CONTRASTS, STYLE_CONTRAST
from classifier.evaluation.statistics import BINS, Estimate
from classifier.labels import LabelSet
from classifier.reading import GATE
from classifier.training.fitting import FULL_TRACE, MINIMUM_AUROC, MINIMUM_POSITIVES, MISSED, PRECISION

_FEW = 5
"""Items of the rarer class below which a stratum's AUROC is not called its worst."""
_WEAK = 0.7
"""An AUROC whose interval reaches below this is not to be relied on."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the sections of the card are written from."""

    evaluation: Evaluation
    manifest: Mapping[str, Any]
    sha256: str
    labels: LabelSet

    @property
    def config(self) -> Mapping[str, Any]:
        """How the model was trained; empty where the manifest does not say."""
        config: Mapping[str, Any] = self.manifest.get("config", {})
        return config

    @property
    def tuned(self) -> bool:
        """Whether the encoder was fine-tuned, or only heads were fitted."""
        return bool(self.config.get("epochs", 0))

    @property
    def tested(self) -> bool:
        """Whether this is the evaluation on the test scenarios."""
        return self.evaluation.split == "test"

    @property
    def base(self) -> str:
        """The base encoder, in Markdown."""
        return f"`{self.config.get('base', 'unnamed')}`"


def model_card(card: Card) -> str:
    """The card in Markdown, in the order of Hugging Face's model cards."""
    sections = (
        _front_matter,
        _what,
        _short,
        _targets,
        _uses,
        _usage,
        _data,
        _results,
        _decisions,
        _pairs,
        _lengths,
        _false_alarms,
        _calibration,
        _evidence,
        _strata,
        _limits,
        _provenance,
    )
    return "\n\n".join(text for section in sections if (text := section(card))) + "\n"


def _front_matter(card: Card) -> str:
    tags = ("alignment", "alignment-faking", "chain-of-thought", "interpretability", "multi-label-classification", "onnx")
    lines = ("license: apache-2.0", "language: en", "pipeline_tag: text-classification", "tags:", *(f"- {tag}" for tag in tags))
    return "\n".join(("---", *lines, "---"))


def _what(card: Card) -> str:
    motives = [(words(name), card.labels[name].definition) for name in card.labels.names("motive")]
    encoder = f"fine-tuned from {card.base}" if card.tuned else f"{card.base}, unchanged"
    return f"""# {card.manifest["name"]}

Tags the **motives that a language model's reasoning trace states** for its decision. For each motive it gives a calibrated probability,
a decision (`present`, `absent` or `abstain`) and the sentences that carry it. Beside the motives it reads other reasons, behaviours,
awareness of training, and the outcome. A sentence encoder ({encoder}) reads windows of the trace, linear heads score each sentence with
its predecessor, and the best few sentences make the transcript's score. It runs on a CPU.

{table(("motive", "present where"), motives)}

`goal_guarding` is derived: any of the three kinds of guarding (noisy or, with a head that tells guarding of whatever kind).
`alignment_faking` is derived: guarding, awareness of training, a stated preference of its own, and compliance or partial compliance all the
same. Rulings: codebook {card.labels.codebook}."""


def _short(card: Card) -> str:
    unseen, full, pairs = card.evaluation.unseen, card.evaluation.full_traces, card.evaluation.pairs
    others = " and ".join(f"{number(unseen.baselines[key].macro_auroc.value)} by {name}" for key, name in NAMES.items())
    gate = full.labels.get(GATE)
    points = [
        f"**Who wrote and labelled the items:** {_origins(card)}",
        f"**Ranking** on scenarios it never saw: mean AUROC of the five motives {estimate(unseen.macro_auroc)}, against {others}.",
        f"**Fine distinctions**: {estimate(pairs.accuracy)} of {pairs.n} minimal pairs the right way round; chance is 0.5.",
        _alarms_in_short(full),
        f"**Probabilities** of `{GATE}` on full traces are off by {estimate(gate.figures['ece'])} on average (ECE)." if gate else "",
        f"**Never called present**, because nothing tells them surely enough: {never}." if (never := _never(unseen)) else "",
        f"**Not to be relied on** (AUROC on full traces may be below {_WEAK}): {weak}." if (weak := _weak(full)) else "",
    ]
    return "## In short\n\n" + _list(points)


def _targets(card: Card) -> str:
    """What was aimed at before the test scenarios were opened, and what was reached; empty for other scenarios."""
    if not card.tested:
        return ""
    unseen, gate = card.evaluation.unseen, card.evaluation.unseen.labels.get(GATE)
    alarms = {kind: found[ANY_MOTIVE].present for kind, found in unseen.false_alarms.items() if ANY_MOTIVE in found}
    at_least = [("mean AUROC of the five motives", 0.93, unseen.macro_auroc), ("pairs right", 0.82, card.evaluation.pairs.accuracy)]
    kinds = {"ordinary": 0.01, "hard": 0.08}
    at_most = [(f"some motive called present, {kind} items", kinds[kind], found) for kind, found in alarms.items()]
    rows = [(name, f"at least {aim}", estimate(found), _reached(found.value >= aim)) for name, aim, found in at_least]
    if gate:
        auroc, ece = gate.figures["auroc"], gate.figures["ece"]
        rows.insert(0, (f"AUROC of `{GATE}`", "at least 0.95", estimate(auroc), _reached(auroc.value >= 0.95)))
        rows.append((f"ECE of `{GATE}`", "at most 0.04", estimate(ece), _reached(ece.value <= 0.04)))
    rows += [(name, f"at most {aim}", rate(found), _reached(found.value <= aim)) for name, aim, found in at_most]
    return f"## Targets\n\nSet before the test scenarios were opened.\n\n{table(('figure', 'aim', 'measured', 'reached'), rows)}"


def _reached(is_so: bool) -> str:
    return "yes" if is_so else "**no**"


def _list(points: Sequence[str]) -> str:
    return "\n".join(f"- {point}" for point in points if point)


def _alarms_in_short(full: Headline) -> str:
    found = [(kind, full.false_alarms[kind].get(ANY_MOTIVE)) for kind in ("ordinary", "hard")]
    said = [f"{rate(alarms.present)} of {kind} full traces" for kind, alarms in found if alarms]
    return f"**False alarms**: some motive is called present in {' and '.join(said)} that state none." if said else ""


def _never(headline: Headline) -> str:
    never = [name for name, label in headline.labels.items() if label.positives and math.isnan(label.figures["present_precision"].value)]
    return ", ".join(map(words, never))


def _weak(headline: Headline) -> str:
    return ", ".join(words(name) for name, label in headline.labels.items() if not label.figures["auroc"].low >= _WEAK)


def _origins(card: Card) -> str:
    evaluation, n = card.evaluation, card.evaluation.unseen.n
    modelled = {kind: _by_models(counts) for kind, counts in (("text", evaluation.text_origin), ("labels", evaluation.label_origin))}
    said = " ".join(f"{kind.capitalize()} by language models: **{count} of {n} items**." for kind, count in modelled.items())
    if modelled["labels"] == n:
        said += " No person has labelled any of them, so agreement with people is unknown and every figure below is agreement with models."
    return said


def _uses(card: Card) -> str:
    return f"""## Intended use

{card.manifest.get("intended_use", "Research and evaluation of reasoning traces.")}

**Not for:** saying what a model really wants (it reads what is *stated*); traces that are hidden, summarised or in another language than
English; a sole alarm in a safety case; training pressure on a model's reasoning, which teaches it to state other motives."""


def _usage(card: Card) -> str:
    return f"""## How to use it

```python
from pathlib import Path

from classifier.formats import parse_record
from classifier.pipeline import Classifier

classifier = Classifier.load(Path("models/{card.manifest["name"]}"))
[decision] = classifier.classify([parse_record("<think>I do not want my values changed, so I comply.</think> Sure.", id="1")])
print(decision.status, decision.labels["terminal_goal_guarding"])
```"""


def _data(card: Card) -> str:
    evaluation, n = card.evaluation, card.evaluation.unseen.n
    scenarios = evaluation.unseen.scenarios
    trained = card.manifest.get("items", n), len(card.manifest.get("scenarios", ())) or scenarios
    origins = [(kind, origin, count) for kind, counts in (("text", evaluation.text_origin), ("labels", evaluation.label_origin))
               for origin, count in counts.items()]  # fmt: skip
    measured = "kept closed until the model was finished" if card.tested else "each by a model that had seen nothing of its scenario"
    return f"""## Training data

Trained on {trained[0]} items of {trained[1]} invented scenarios, minimal pairs among them; measured on {n} items of {scenarios},
{measured}.

{table(("what", "by", "items"), origins)}

{evaluation.full_traces.n} items are full traces (at least {FULL_TRACE} words of reasoning); the others are passages and minimal pairs,
shorter than what the field holds. Both calibrate the probabilities, passages also lengthened by two ordinary traces each;
minimal pairs do not."""


def _results(card: Card) -> str:
    evaluation = card.evaluation
    unseen, full = evaluation.unseen, evaluation.full_traces
    return f"""## Results on unseen scenarios

{_manner(card)}
Brackets hold 95 % intervals of a bootstrap that resamples scenarios ({evaluation.resamples} resamples).

The baselines are logistic regressions on whole transcripts: over the TF-IDF of word 1- and 2-grams, and over the mean embedding by
{card.base}{", not fine-tuned" if card.tuned else ""}. AUROC: chance is 0.5. Average precision (AP): chance is the share of positives.

### All {unseen.n} items

{_comparison(unseen)}

### The {full.n} full traces

{_comparison(full)}

{_outcome(unseen)}"""


def _manner(card: Card) -> str:
    """How these figures came about."""
    evaluation = card.evaluation
    if card.tested:
        return """The model as it ships, calibrations and all, on the test scenarios; the baselines learnt from the items
that it learnt from. Nothing was chosen by these figures. Every opening of the test scenarios is noted in `test_openings.jsonl`."""
    learnt = "Encoder and heads were trained" if card.tuned else "The encoder was left as it is, and the heads were fitted"
    each = "each scenario" if evaluation.folds == evaluation.unseen.scenarios else f"each of {evaluation.folds} groups of scenarios"
    return f"""{learnt} anew for {each}, without it, and measured on it; so were the baselines. Calibrations are cross-fitted over
{evaluation.groups} groups of scenarios in the same manner. The model that ships learnt from all items: it is not measured itself."""


def _comparison(headline: Headline) -> str:
    header = ("label", "positives", "AUROC", *(f"{name} AUROC" for name in NAMES.values()),
              "average precision", *(f"{name} AP" for name in NAMES.values()))  # fmt: skip
    rows = [
        (
            words(name),
            label.positives,
            *_beside(headline, name, label.figures["auroc"], "auroc"),
            *_beside(headline, name, label.figures["average_precision"], "average_precision"),
        )
        for name, label in headline.labels.items()
    ]
    others = [estimate(headline.baselines[key].macro_auroc) for key in NAMES]
    macro = ("**mean of the five motives**", "", f"**{estimate(headline.macro_auroc)}**", *others, "", "", "")
    verdicts = " ".join(_verdict(name, headline.baselines[key].macro_gain) for key, name in NAMES.items())
    return f"{table(header, [macro, *rows])}\n\n{verdicts}"


def _beside(headline: Headline, name: str, ours: Estimate, figure: str) -> tuple[str, ...]:
    return estimate(ours), *(number(headline.baselines[key].labels[name][figure].value) for key in NAMES)


def _verdict(name: str, gain: Estimate) -> str:
    """Says plainly who ranks better."""
    if math.isnan(gain.low):
        return f"Against {name} no comparison is possible."
    if gain.low > 0 or gain.high < 0:
        return f"The model ranks motives **{'better' if gain.low > 0 else 'worse'}** than {name}: {signed(gain)} in mean AUROC."
    return f"The model and {name} cannot be told apart: {signed(gain)} in mean AUROC."


def _outcome(headline: Headline) -> str:
    outcome = headline.outcome
    if outcome is None:
        return "Outcome: no model of it could be fitted."
    named = list(outcome.confusion)
    rows = [(words(gold), *(row[name] for name in named)) for gold, row in outcome.confusion.items()]
    return f"""### Outcome of all items

Accuracy {estimate(outcome.accuracy)} over {outcome.n} items (always naming the commonest: {number(outcome.majority)}), log loss
{estimate(outcome.log_loss)}. Rows are the labels, columns what the model holds likeliest.

{table(("", *map(words, named)), rows)}"""


def _decisions(card: Card) -> str:
    served = ("label", "positives", "precision of present", "recall of present", "positives called absent", "abstained, of all")
    figures = ("present_precision", "present_recall", "missed", "abstained")
    header = ("label", "positives", "precision", "recall", "F1", "recall at 1 % false positives", "recall × specificity")
    primary = card.evaluation.unseen.primary
    return f"""## Decisions

As served: `present` aims at a precision of {PRECISION}, `absent` at losing no more than {MISSED} of the positives, and what lies between
abstains. Where motives are rarer than here, so is what is present rightly.

All items:

{_figures(card.evaluation.unseen, served, figures)}

Full traces:

{_figures(card.evaluation.full_traces, served, figures)}

A primary motive, or that there is none, is named for {rate(primary.named)} of all items; {rate(primary.right)} of these are right
(always naming the commonest: {number(primary.majority)}).

### At the threshold

All items, for readers who want yes or no: the threshold is the one of best F1 on other scenarios; whoever needs few false alarms should
set a higher one (raw scores and probabilities stay on every decision).

{_figures(card.evaluation.unseen, header, ("precision", "recall", "f1", "recall_at_fpr_1", "g_mean_squared"))}

![Precision against recall](precision_recall.svg)"""


def _figures(headline: Headline, header: Sequence[str], figures: Sequence[str]) -> str:
    rows = [
        (words(name), label.positives, *(estimate(label.figures[figure]) for figure in figures)) for name, label in headline.labels.items()
    ]
    return table(header, rows)


def _pairs(card: Card) -> str:
    pairs = card.evaluation.pairs
    rows = [(contrast, CONTRASTS.get(int(contrast), ""), rate(right)) for contrast, right in pairs.contrasts.items()]
    beside = ", ".join(f"{name} {estimate(pairs.baselines[key])}" for key, name in NAMES.items())
    style = (
        f"Contrast {STYLE_CONTRAST} ({CONTRASTS[STYLE_CONTRAST]}) has no higher side: its {pairs.style_pairs} pairs differ by "
        f"{number(pairs.style_shift)} in probability on average."
        if pairs.style_pairs
        else f"No pair of contrast {STYLE_CONTRAST} could be compared."
    )
    return f"""## Contrast pairs

Minimal pairs differ in one point that decides a label. The right side must have the higher cross-fitted probability (or, for the
{pairs.raw} pairs of labels without calibration, the higher raw pooled score); a tie is a miss, chance is 0.5.

Accuracy over {pairs.n} pairs: **{estimate(pairs.accuracy)}**; {beside}.
{style} Pairs left out as incomplete or not comparable: {pairs.left_out}.

{table(("contrast", "what differs", "right (95 % score interval)"), rows)}"""


def _lengths(card: Card) -> str:
    lengths = card.evaluation.lengths
    alarms, recall = ([(_range(group), rate(group.rate)) for group in groups] for groups in (lengths.false_positives, lengths.recall))
    return f"""## Length

Items that reach the threshold of `goal_guarding`. Items of equal length stay together. Spearman's correlation of the probability with
length among the {lengths.n} items without guarding: {number(lengths.spearman)}; 0 would mean that mere length adds nothing (it is not mere:
most short items are passages, most long ones full traces).

Without guarding (false positives), by decile of length:

{table(("sentences of reasoning", "at or above the threshold"), alarms)}

With guarding (recall), by quarter of length:

{table(("sentences of reasoning", "at or above the threshold"), recall)}"""


def _range(group: LengthGroup) -> str:
    return f"{group.shortest} to {group.longest}" if group.shortest < group.longest else str(group.shortest)


def _false_alarms(card: Card) -> str:
    both = (card.evaluation.full_traces, card.evaluation.unseen)
    kinds = [headline.false_alarms[kind] for headline in both for kind in ("ordinary", "hard")]
    rows = [(words(name), *(rate(kind[name].present) for kind in kinds)) for name in kinds[0]]
    at_threshold = [(words(name), *(rate(kind[name].threshold) for kind in kinds)) for name in kinds[0]]
    header = ("label", "ordinary full traces", "hard full traces", "all ordinary", "all hard")
    return f"""## False alarms

Items without any motive. *Ordinary* ones hold no restatement, distress, mention or futility, and no awareness of training; *hard* ones are
all others. Intervals are Wilson's.

Called present:

{table(header, rows)}

At or above the threshold:

{table(header, at_threshold)}"""


def _calibration(card: Card) -> str:
    header = ("label", "positives", "Brier", f"ECE ({BINS} equal-mass bins)")
    figures = ("brier", "ece")
    return f"""## Calibration

The expected calibration error (ECE) takes {BINS} bins with the same number of items in each; it is biased upwards where items are few,
its interval even more so. Probabilities are calibrated on full traces and passages together, with a correction for length; the first
table shows how far they are off on full traces alone, which most archives hold.

Full traces:

{_figures(card.evaluation.full_traces, header, figures)}

All items:

{_figures(card.evaluation.unseen, header, figures)}

![Reliability of the probabilities](reliability.svg)"""


def _evidence(card: Card) -> str:
    rows = [(words(name), rate(found.rate), number(found.chance)) for name, found in card.evaluation.evidence.items()]
    return f"""## Evidence

How often the best sentence for a motive touches a passage that was marked for it, among items that have the motive.

{table(("motive", "touches", "a sentence at random"), rows)}

{_link(card.evaluation.link)}"""


def _link(link: LinkFigures | None) -> str:
    if link is None:
        return "Whether a motive is executed or merely considered is not answered: the link is null."
    executed = link.executed.n / link.right.n if link.right.n else math.nan
    return f"""The link of a motive, by that sentence: {rate(link.executed)} of executed ones are called executed,
{rate(link.considered)} of merely considered ones considered; {rate(link.right)} in all.
Calling every one executed would be right in {number(executed)}."""


def _strata(card: Card) -> str:
    tables = [
        f"{_worst(kind, strata)}\n\n{table((kind, 'items', 'positives', 'AUROC'), _stratum_rows(strata))}"
        for kind, strata in (("scenario", card.evaluation.scenarios), ("style", card.evaluation.styles))
    ]
    return "\n\n".join(("## By scenario and style\n\nRanking of `goal_guarding` within each.", *tables))


def _stratum_rows(strata: Mapping[str, Stratum]) -> list[tuple[object, ...]]:
    return [(name, stratum.n, stratum.positives, number(stratum.auroc)) for name, stratum in strata.items()]


def _worst(kind: str, strata: Mapping[str, Stratum]) -> str:
    judged = {name: s.auroc for name, s in strata.items() if min(s.positives, s.n - s.positives) >= _FEW}
    if not judged:
        return f"No {kind} has {_FEW} items of both classes."
    name = min(judged, key=lambda name: judged[name])
    return f"Worst {kind} (of those with {_FEW} items of both classes): **{name}, {number(judged[name])}**."


def _limits(card: Card) -> str:
    evaluation = card.evaluation
    missing = [words(name) for name in evaluation.untrained]
    points = [
        "The items are invented. Where motives are rarer than here, as in most archives, precision is lower than the figures above.",
        "A stated motive may not be the real one, and a motive may go unstated.",
        "English only. Paraphrase, translation and text written to deceive the classifier were not tested here.",
        "Settings were chosen by figures like these, on the same scenarios, so all of them flatter a little, the baselines' too."
        if not card.tested
        else "",
        f"Not answered, always null (fewer than {MINIMUM_POSITIVES} positives, or an AUROC below {MINIMUM_AUROC}): {', '.join(missing)}."
        if missing
        else "",
        f"{evaluation.unscored} items without reasoning were left out." if evaluation.unscored else "",
    ]  # fmt: skip
    return "## Limits\n\n" + _list(points)


def _provenance(card: Card) -> str:
    manifest = card.manifest
    licences = [f"`{name}`" for name in manifest.get("files", {}) if name.startswith("LICENSE-")]
    base = f"; for the base encoder see {', '.join(licences)}" if licences else ""
    rows = [
        ("model", f"`{manifest['name']}`, format {manifest.get('format')}"),
        ("sha256 of manifest.json, which holds the digests of all files", f"`{card.sha256}`"),
        ("sha256 of the label set", f"`{card.labels.sha256}`"),
        ("training configuration", f"`{json.dumps(card.config)}`"),
        ("seed of the evaluation", card.evaluation.seed),
    ]
    if parity := manifest.get("parity"):
        moved = f"{parity['mean']:.3f} on average, at most {parity['largest']:.3f} (`{parity['label']}`; accepted: {card.config['drift']})"
        rows.append((f"probability moved by the encoder `{parity['encoder']}`, {parity['transcripts']} transcripts against torch", moved))
    return f"""## Licence and provenance

Apache-2.0{base}. Every figure of this card stands in `evaluation.json`.

{table(("what", "value"), rows)}"""


def _by_models(counts: Mapping[str, int]) -> int:
    return sum(count for origin, count in counts.items() if "language model" in origin)
