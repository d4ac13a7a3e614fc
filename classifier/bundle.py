"""A model as a folder: save, verify, load. JSON, safetensors and ONNX only; nothing in it can run code.

Upgrade procedure: a change that old readers cannot load raises FORMAT by one and keeps a reader for the old number here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from classifier.calibration import Calibration, OutcomeModel
from classifier.encoders import ENCODERS, Encoder, Floats
from classifier.heads import Heads
from classifier.labels import LabelSet
from classifier.lexical import Lexicon

FORMAT = 1
MANIFEST = "manifest.json"
GOLDEN_COSINE = 0.99
FILES = (
    "encoder.onnx",
    "encoder_float.onnx",
    "encoder.weights",
    "tokenizer.json",
    "LICENSE-base-model",
    "labels.toml",
    "heads.safetensors",
    "lexicon.json",
    "calibration.json",
)
"""What the manifest vouches for, as far as the encoder has it. Model card and evaluation lie beside them and may change."""

_log = logging.getLogger(__name__)


class BundleError(ValueError):
    """A bundle that is incomplete, altered or of another format; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model. ``sha256`` covers every file, ``calibration_id`` the calibration alone."""

    name: str
    sha256: str
    calibration_id: str
    manifest: Mapping[str, Any]
    labels: LabelSet
    encoder: Encoder
    lexicon: Lexicon
    heads: Heads
    calibrations: Mapping[str, Calibration]
    outcome: OutcomeModel | None


def save(
    folder: Path,
    *,
    encoder: str,
    labels: Path,
    lexicon: Lexicon,
    heads: Heads,
    calibrations: Mapping[str, Calibration],
    outcome: OutcomeModel | None,
    golden: Mapping[str, Floats],
    about: Mapping[str, Any],
) -> None:
    """Write everything but the encoder's own files, which must lie in ``folder`` already, and then the manifest with all digests.

    ``golden`` maps a few texts to their sums of token states, shape (dimensions,): what this encoder gave when the model was made.
    ``about`` is copied into the manifest (intended use, training data, figures).
    """
    (folder / "labels.toml").write_bytes(labels.read_bytes())
    tensors = {"dense": heads.dense, "lexical": heads.lexical.astype(np.float16), "bias": heads.bias, "idf": lexicon.idf}
    tensors["golden"] = np.stack(list(golden.values()))
    (folder / "heads.safetensors").write_bytes(to_bytes({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
    _write_json(folder / "lexicon.json", {"terms": list(lexicon.terms), "heads": list(heads.names), "golden": list(golden)})
    _seal(folder, {"format": FORMAT, "name": folder.name, "encoder": encoder, **about}, calibrations, outcome)


def save_calibration(folder: Path, calibrations: Mapping[str, Calibration], outcome: OutcomeModel | None, about: Mapping[str, Any]) -> None:
    """Replace a bundle's calibration, add ``about`` to its manifest, and write the digests anew. All else stays."""
    _seal(folder, {**_verified_manifest(folder), **about}, calibrations, outcome)


def _seal(folder: Path, manifest: Mapping[str, Any], calibrations: Mapping[str, Calibration], outcome: OutcomeModel | None) -> None:
    calibration = {"labels": {name: c.to_json() for name, c in calibrations.items()}, "outcome": outcome.to_json() if outcome else None}
    _write_json(folder / "calibration.json", calibration)
    files = {name: _sha256(folder / name) for name in FILES if (folder / name).is_file()}
    _write_json(folder / MANIFEST, {**manifest, "files": files})


def load(folder: Path) -> Bundle:
    """Load and verify a bundle. Raises BundleError naming the file and the remedy.

    Where the int8 encoder does not reproduce its golden states on this processor, the float graph takes over with a warning.
    """
    manifest = _verified_manifest(folder)
    try:
        tensors = load_file(folder / "heads.safetensors")
        index = _read_json(folder / "lexicon.json")
        calibration = _read_json(folder / "calibration.json")
        labels = LabelSet.load(folder / "labels.toml")
        names = tuple(index["heads"])
        heads = Heads(names, tensors["dense"], tensors["lexical"].astype(np.float32), tensors["bias"])
        lexicon = Lexicon({term: i for i, term in enumerate(index["terms"])}, tensors["idf"])
        return Bundle(
            name=manifest["name"],
            sha256=_sha256(folder / MANIFEST),
            calibration_id=manifest["files"]["calibration.json"][:12],
            manifest=manifest,
            labels=labels,
            encoder=_encoder(folder, manifest["encoder"], index["golden"], tensors["golden"]),
            lexicon=lexicon,
            heads=heads,
            calibrations={name: Calibration(**c) for name, c in calibration["labels"].items()},
            outcome=OutcomeModel.from_json(calibration["outcome"]) if calibration["outcome"] else None,
        )
    except (KeyError, TypeError, OSError) as error:
        raise BundleError(f"{folder}: not a complete bundle ({type(error).__name__}: {error}); fetch it again") from error


def _verified_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: no {MANIFEST} here; name a model folder such as models/<name>")
    manifest: Mapping[str, Any] = _read_json(path)
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{path}: format {manifest.get('format')!r}, this version reads {FORMAT}; use a matching release or retrain")
    for name, digest in manifest.get("files", {}).items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise BundleError(f"{file}: listed in {MANIFEST} but missing; fetch the bundle again")
        if _sha256(file) != digest:
            raise BundleError(f"{file}: does not match its digest in {MANIFEST}; it was changed or damaged, fetch the bundle again")
    return manifest


def _encoder(folder: Path, kind: str, texts: list[str], golden: Floats) -> Encoder:
    encoder = ENCODERS[kind](folder)
    cosine = _worst_cosine(encoder, texts, golden)
    if cosine >= GOLDEN_COSINE:
        return encoder
    if kind != "onnx":
        raise BundleError(f"{folder}: the encoder no longer reproduces its golden states (cosine {cosine:.3f}); fetch the bundle again")
    from classifier.encoders.onnx import OnnxEncoder

    _log.warning("%s: int8 encoder is off on this processor (cosine %.3f); the slower float graph takes over", folder.name, cosine)
    fallback = OnnxEncoder.load(folder, "encoder_float.onnx")
    if (cosine := _worst_cosine(fallback, texts, golden)) < GOLDEN_COSINE:
        raise BundleError(f"{folder}: neither graph reproduces the golden states (cosine {cosine:.3f}); fetch the bundle again")
    return fallback


def golden_states(encoder: Encoder, texts: list[str]) -> dict[str, Floats]:
    """Sum of token states by text, shape (dimensions,) each."""
    return {text: encoder.states(encoder.tokenize(text)[0]).sum(axis=0) for text in texts}


def _worst_cosine(encoder: Encoder, texts: list[str], golden: NDArray[np.float32]) -> float:
    now = np.stack(list(golden_states(encoder, texts).values()))
    products = (now * golden).sum(axis=1) / (np.linalg.norm(now, axis=1) * np.linalg.norm(golden, axis=1))
    return float(products.min())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
