"""From labelled items to a bundle: fine-tune, fit, calibrate on unseen scenarios, export, and compare with torch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundle import golden_states, load, save
from classifier.examples import Columns, Example, embed, prepare, scenario_folds
from classifier.fitting import Calibrated, Config, Learnt, fit_calibration, fit_heads, out_of_fold
from classifier.labels import LabelSet
from classifier.out_of_fold import OUT_OF_FOLD, OutOfFold, corpus_sha256
from classifier.parity import ALLOWED, Parity, parity
from classifier.records import GoldLabel

if TYPE_CHECKING:
    from classifier.encoders.sentence_transformer import TorchEncoder

GOLDEN = 64
"""Transcripts on which the shipped encoder is compared with torch, spread evenly over the corpus."""

SAMPLES = 150
"""Windows on which the ranges of the encoder's activations are measured."""

_log = logging.getLogger(__name__)


def train(golds: Sequence[GoldLabel], labels_file: Path, out: Path, config: Config) -> tuple[Calibrated, Parity]:
    """Write the bundle ``out``, and beside it the out-of-fold scores that ``motives evaluate`` reads. Needs the train extra.

    One model is trained for each fold, to score and calibrate on scenarios it never saw, and then the one that ships, on everything.
    """
    from classifier.encoders.sentence_transformer import TorchEncoder

    columns = Columns(LabelSet.load(labels_file))
    base = TorchEncoder.load(config.base)
    examples = prepare(golds, base, columns)
    folds = scenario_folds(examples, config.folds, config.seed)

    def learn(chosen: Sequence[Example]) -> Learnt:
        with tempfile.TemporaryDirectory() as folder:
            return _learn(base, chosen, columns, config, Path(folder))[0]

    scores = out_of_fold(examples, folds, learn)
    calibrated = fit_calibration(examples, scores, columns)
    out.mkdir(parents=True, exist_ok=True)
    OutOfFold(
        ids=tuple(gold.transcript.id for gold in golds),
        corpus_sha256=corpus_sha256(golds),
        folds=tuple(tuple(fold) for fold in folds),
        scores=tuple(scores),
    ).save(out / OUT_OF_FOLD)
    _log.info("The model that ships: trained on everything")
    learnt, written = _learn(base, examples, columns, config, out)
    texts = [example.cut.units[0].evidence.text for example in examples[:: max(1, len(examples) // 8)]]

    def write(about: Mapping[str, Any]) -> None:
        save(
            out,
            encoder="onnx",
            labels=labels_file,
            lexicon=learnt.lexicon,
            heads=learnt.heads,
            calibrations=calibrated.labels,
            outcome=calibrated.outcome,
            golden=golden_states(learnt.encoder, texts),
            about=about,
        )

    about = _about(golds, config, calibrated)
    write(about)
    compared = parity(load(out), written, [gold.transcript for gold in golds[:: max(1, len(golds) // GOLDEN)]])
    write(about | {"parity": compared.to_json()})
    if compared.largest > ALLOWED:
        _log.warning("int8 moves %s by up to %.3f (allowed: %.2f)", compared.label, compared.largest, ALLOWED)
    return calibrated, compared


def _learn(
    base: TorchEncoder, examples: Sequence[Example], columns: Columns, config: Config, folder: Path
) -> tuple[Learnt, TorchEncoder]:
    """Fine-tune, export to ``folder``, and fit the heads on what the export computes: the embeddings that are served."""
    from classifier.encoders.onnx import OnnxEncoder
    from classifier.encoders.sentence_transformer import export
    from classifier.finetuning import fine_tune

    tuned = fine_tune(base, examples, config) if config.epochs else base
    windows = [window.ids for example in examples for window in example.cut.windows]
    written = export(config.base, tuned, folder, windows[:: max(1, len(windows) // SAMPLES)])
    encoder = OnnxEncoder.load(folder)
    lexicon, heads = fit_heads(embed(examples, encoder), columns, config)
    return Learnt(encoder, lexicon, heads), written


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
