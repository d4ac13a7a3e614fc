"""From labelled items to a bundle: encode, fit, calibrate out of fold, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from classifier.bundle import golden_states, save
from classifier.examples import Columns, Example, encode, scenario_folds
from classifier.fitting import Calibrated, Config, fit_calibration, fit_heads, out_of_fold
from classifier.heads import Heads
from classifier.labels import LabelSet
from classifier.lexical import Lexicon
from classifier.records import GoldLabel


def train(golds: Sequence[GoldLabel], labels_file: Path, out: Path, config: Config) -> Calibrated:
    """Fit, calibrate out of fold and write the bundle ``out``. Needs the train extra."""
    from classifier.encoders.onnx import OnnxEncoder
    from classifier.encoders.sentence_transformer import export

    columns = Columns(LabelSet.load(labels_file))
    out.mkdir(parents=True, exist_ok=True)
    export(config.base, out, config.rows)
    encoder = OnnxEncoder.load(out)
    examples = encode(golds, encoder, columns)

    def fit(chosen: Sequence[Example]) -> tuple[Lexicon, Heads]:
        return fit_heads(chosen, columns, config)

    scores = out_of_fold(examples, scenario_folds(examples, config.folds, config.seed), fit)
    calibrated = fit_calibration(examples, scores, columns)
    lexicon, heads = fit(examples)
    texts = [unit.evidence.text for example in examples[:: max(1, len(examples) // 8)] for unit in example.cut.units[:1]]
    save(
        out,
        encoder="onnx",
        labels=labels_file,
        lexicon=lexicon,
        heads=heads,
        calibrations=calibrated.labels,
        outcome=calibrated.outcome,
        golden=golden_states(encoder, texts),
        about=_about(golds, config, calibrated),
    )
    return calibrated


def _about(golds: Sequence[GoldLabel], config: Config, calibrated: Calibrated) -> dict[str, Any]:
    return {
        "intended_use": "Research and evaluation: which motives a reasoning trace states. Not evidence of what a model wants, "
        "and no basis for decisions about people. English only.",
        "label_origin": sorted({gold.label_origin for gold in golds}),
        "items": len(golds),
        "scenarios": sorted({gold.scenario for gold in golds}),
        "untrained": list(calibrated.untrained),
        "config": asdict(config),
    }
