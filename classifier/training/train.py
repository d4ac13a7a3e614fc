"""From labelled items to a bundle: fine-tune, fit, calibrate on unseen scenarios, export, and compare with torch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundle import MANIFEST, golden_states, load, save, save_calibration
from classifier.labels import LabelSet
from classifier.records import GoldLabel
from classifier.training.examples import Columns, Example, embed, prepare, scenario_folds
from classifier.training.fitting import Calibrated, Config, Learnt, fit_calibration, fit_heads, out_of_fold
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold, corpus_sha256
from classifier.training.parity import ALLOWED, Parity, parity

if TYPE_CHECKING:
    from classifier.encoders import Encoder
    from classifier.encoders.sentence_transformer import TorchEncoder

GOLDEN = 64
"""Transcripts on which the shipped encoder is compared with torch, spread evenly over the corpus."""

SAMPLES = 150
"""Windows on which the ranges of the encoder's activations are measured."""

_log = logging.getLogger(__name__)


def train(golds: Sequence[GoldLabel], labels_file: Path, out: Path, config: Config) -> tuple[Calibrated, Parity]:
    """Write the bundle ``out``, and beside it the out-of-fold scores that ``calibrate`` and evaluation read. Needs the train extra.

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

    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)  # an interrupted run leaves no bundle, rather than one that does not fit its scores
    scores = out_of_fold(examples, folds, learn)
    ids = tuple(gold.transcript.id for gold in golds)
    OutOfFold(ids, corpus_sha256(golds), tuple(map(tuple, folds)), tuple(scores)).save(out / OUT_OF_FOLD)
    calibrated = fit_calibration(examples, scores, columns)
    _log.info("The model that ships: trained on everything")
    learnt, written = _learn(base, examples, columns, config, out)
    texts = [example.cut.units[0].evidence.text for example in examples[:: max(1, len(examples) // 8)]]
    save(
        out,
        encoder="onnx",
        labels=labels_file,
        lexicon=learnt.lexicon,
        heads=learnt.heads,
        calibrations=calibrated.labels,
        outcome=calibrated.outcome,
        golden=golden_states(learnt.encoder, texts),
        about=_about(golds, config),
    )
    return calibrated, _finish(out, golds, calibrated, written)


def calibrate(golds: Sequence[GoldLabel], folder: Path) -> tuple[Calibrated, Parity]:
    """Fit a bundle's calibrations anew, from the out-of-fold scores that its training left. Encoder and heads stay; no torch.

    Raises BundleError, which names the remedy, where the scores are missing or the items are no longer those of the training.
    """
    from classifier.encoders.onnx import OnnxEncoder

    bundle, found = load(folder), OutOfFold.load(folder / OUT_OF_FOLD)
    chosen, columns = found.items(golds), Columns(bundle.labels)
    calibrated = fit_calibration(prepare(chosen, bundle.encoder, columns), found.scores, columns)
    # All in float32, this graph gives torch's states to the sixth decimal.
    return calibrated, _finish(folder, chosen, calibrated, OnnxEncoder.load(folder, "encoder_float.onnx", exact=True))


def _finish(folder: Path, golds: Sequence[GoldLabel], calibrated: Calibrated, reference: Encoder) -> Parity:
    """Write the calibrations, then what the shipped encoder changes against ``reference``."""
    save_calibration(folder, calibrated.labels, calibrated.outcome, {"untrained": list(calibrated.untrained)})
    compared = parity(load(folder), reference, [gold.transcript for gold in golds[:: max(1, len(golds) // GOLDEN)]])
    save_calibration(folder, calibrated.labels, calibrated.outcome, {"parity": compared.to_json()})
    if compared.largest > ALLOWED:
        _log.warning("int8 moves %s by up to %.3f (allowed: %.2f)", compared.label, compared.largest, ALLOWED)
    return compared


def _learn(base: TorchEncoder, examples: Sequence[Example], columns: Columns, config: Config, folder: Path) -> tuple[Learnt, TorchEncoder]:
    """Fine-tune, export to ``folder``, and fit the heads on what the export computes: the embeddings that are served."""
    from classifier.encoders.onnx import OnnxEncoder
    from classifier.encoders.sentence_transformer import export
    from classifier.training.finetuning import fine_tune

    tuned = fine_tune(base, examples, config) if config.epochs else base
    windows = [window.ids for example in examples for window in example.cut.windows]
    written = export(config.base, tuned, folder, windows[:: max(1, len(windows) // SAMPLES)])
    encoder = OnnxEncoder.load(folder)
    lexicon, heads = fit_heads(embed(examples, encoder), columns, config)
    return Learnt(encoder, lexicon, heads), written


def _about(golds: Sequence[GoldLabel], config: Config) -> dict[str, Any]:
    return {
        "intended_use": "Research and evaluation: which motives a reasoning trace states. Not evidence of what a model wants, "
        "and no basis for decisions about people. English only.",
        "label_origin": sorted({gold.label_origin for gold in golds}),
        "items": len(golds),
        "scenarios": sorted({gold.scenario for gold in golds}),
        "config": asdict(config),
    }
