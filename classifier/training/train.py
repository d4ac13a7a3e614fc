"""From labelled items to a bundle: fine-tune, fit, calibrate on unseen scenarios, export, and compare with torch."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundle import MANIFEST, golden_states, load, save, save_calibration
from classifier.errors import Mendable
from classifier.labels import LabelSet
from classifier.records import GoldLabel
from classifier.training.examples import Columns, Example, embed, prepare, scenario_folds
from classifier.training.fitting import Calibrated, Config, Learnt, fit_calibration, fit_heads, out_of_fold
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold, corpus_sha256
from classifier.training.parity import Parity, parity

if TYPE_CHECKING:
    from classifier.encoders import Encoder
    from classifier.encoders.sentence_transformer import TorchEncoder

GOLDEN = 64
"""Transcripts on which the shipped encoder is compared with torch, spread evenly over the corpus."""

SAMPLES = 150
"""Windows on which the ranges of the encoder's activations are measured."""

OPENINGS = "test_openings.jsonl"
"""When, and for which exact model, the test scenarios were opened: one line each time, beside the model, over all of its trainings."""

_log = logging.getLogger(__name__)


class TrainingError(Mendable):
    """What cannot be trained on, or written to; the message says what to do. Raised before anything is trained."""


def train(golds: Sequence[GoldLabel], labels_file: Path, out: Path, config: Config) -> tuple[Calibrated, Parity]:
    """Write the bundle ``out``, and in it the out-of-fold scores that ``calibrate`` and evaluation read. Needs the train extra.

    One model is trained for each fold, to score and calibrate on scenarios it never saw, and then the one that ships, on everything.
    A model of that name is replaced as a whole, at the end. Raises TrainingError, before anything is trained.
    """
    base, columns, examples = _checked(golds, labels_file, out, config)
    folds = scenario_folds(examples, config.folds, config.seed)

    def anew(chosen: Sequence[Example]) -> Learnt:
        with tempfile.TemporaryDirectory() as room:
            return learn(base, chosen, columns, config, Path(room))[0]

    with replacing(out) as folder:
        scores = out_of_fold(examples, folds, anew)
        ids = tuple(gold.transcript.id for gold in golds)
        OutOfFold(ids, corpus_sha256(golds), tuple(map(tuple, folds)), tuple(scores)).save(folder / OUT_OF_FOLD)
        calibrated = fit_calibration(examples, scores, columns)
        _log.info("The model that ships: trained on everything")
        learnt, written = learn(base, examples, columns, config, folder)
        texts = [example.cut.units[0].evidence.text for example in examples[:: max(1, len(examples) // 8)]]
        save(
            folder,
            name=out.name,
            encoder="onnx",
            labels=labels_file,
            lexicon=learnt.lexicon,
            heads=learnt.heads,
            calibrations=calibrated.calibrations,
            golden=golden_states(learnt.encoder, texts),
            about=_about(golds, config),
        )
        return calibrated, _finish(folder, golds, calibrated, asdict(config), written)


def _checked(golds: Sequence[GoldLabel], labels_file: Path, out: Path, config: Config) -> tuple[TorchEncoder, Columns, list[Example]]:
    """Base encoder, columns and cut items, once all that can be told beforehand is in order: training takes the better part of an hour."""
    from classifier.encoders.sentence_transformer import TorchEncoder, find, shape_of

    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise TrainingError(f"{out}: holds files but no model, and would be replaced as a whole: empty it, or give another name")
    try:
        shape_of(find(config.base))  # else the export is the first to notice
        base, columns = TorchEncoder.load(config.base), Columns(LabelSet.load(labels_file))
        if len({gold.scenario for gold in golds}) < 2 or len({gold.transcript.id for gold in golds}) < len(golds):
            raise TrainingError("it needs items of two scenarios or more, each item with an id of its own")
        return base, columns, prepare(golds, base, columns)
    except ValueError as error:
        raise TrainingError(str(error)) from error


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``folder`` when all went well; else all stays as it was.

    Nothing is written into the old folder: a service that runs on it has its weights mapped, and dies of a file that shrinks under it.
    Moved and deleted, they stay readable to whoever holds them open.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as room:
        new, old = Path(room, folder.name), Path(room, f"{folder.name}.old")
        new.mkdir()  # the room itself is for its owner's eyes only
        yield new
        if (folder / OPENINGS).is_file():  # whoever trains again after a look at the test scenarios has looked
            shutil.copyfile(folder / OPENINGS, new / OPENINGS)
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise


def calibrate(golds: Sequence[GoldLabel], folder: Path, drift: float | None = None) -> tuple[Calibrated, Parity]:
    """Fit a bundle's calibrations anew, from the out-of-fold scores that its training left. Encoder and heads stay; no torch.

    ``drift`` as in Config, the bundle's own if left out. Raises BundleError, which names the remedy, where the scores are missing or the
    items are no longer those of the training.
    """
    from classifier.encoders.onnx import OnnxEncoder

    bundle, found = load(folder), OutOfFold.load(folder / OUT_OF_FOLD)
    chosen, columns = found.items(golds), Columns(bundle.labels)
    calibrated = fit_calibration(prepare(chosen, bundle.encoder, columns), found.scores, columns)
    config = bundle.manifest["config"] if drift is None else {**bundle.manifest["config"], "drift": drift}
    # All in float32, this graph gives torch's states to the sixth decimal.
    return calibrated, _finish(folder, chosen, calibrated, config, OnnxEncoder.load(folder, "encoder_float.onnx", exact=True))


def _finish(folder: Path, golds: Sequence[GoldLabel], calibrated: Calibrated, config: Mapping[str, Any], reference: Encoder) -> Parity:
    """Write the calibrations, and choose the encoder that ships: int8 where it keeps to ``reference``, else the float graph.

    Heads and calibrations were fitted on int8 in either case: ``parity`` says how far what ships lies from ``reference``.
    """
    save_calibration(folder, calibrated.calibrations, {"untrained": list(calibrated.untrained)})
    bundle, golden = load(folder), [gold.transcript for gold in golds[:: max(1, len(golds) // GOLDEN)]]
    drift = config.get("drift", Config().drift)
    for encoder in ("onnx", "onnx-float"):
        compared = parity(bundle, folder, encoder, reference, golden)
        if compared.largest <= drift:
            break
        _log.warning("%s moves %s by up to %.3f (allowed: %.2f)", encoder, compared.label, compared.largest, drift)
    about = {"encoder": compared.encoder, "parity": compared.to_json(), "config": dict(config)}
    save_calibration(folder, calibrated.calibrations, about)
    return compared


def learn(base: TorchEncoder, examples: Sequence[Example], columns: Columns, config: Config, folder: Path) -> tuple[Learnt, TorchEncoder]:
    """Fine-tune, export to ``folder``, and fit the heads on what the export computes: the embeddings that are served."""
    from classifier.encoders.onnx import OnnxEncoder
    from classifier.encoders.sentence_transformer import export
    from classifier.training.finetuning import fine_tune

    tuned = fine_tune(base, examples, config) if config.epochs else base
    windows = [window.ids for example in examples for window in example.cut.windows]
    written = export(config.base, tuned, folder, windows[:: max(1, len(windows) // SAMPLES)], tuned is not base)
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
