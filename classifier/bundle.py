"""A model as a folder: save, verify, load. JSON, safetensors and ONNX only; nothing in it can run code.

Upgrade procedure: a change that old readers cannot load raises FORMAT by one and keeps a reader for the old number here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from classifier.calibration import Calibration, Calibrations, OutcomeModel
from classifier.encoders import ENCODERS, Encoder, Floats
from classifier.errors import Mendable
from classifier.heads import Heads
from classifier.labels import LabelSet
from classifier.lexical import Lexicon

FORMAT = 1
MANIFEST = "manifest.json"
GOLDEN_COSINE = 0.99
CALIBRATION = "calibration.json"
_NEXT_CALIBRATION = "calibration.next.json"
_ONNX_FILES = ("encoder.onnx", "encoder_float.onnx", "encoder.weights", "tokenizer.json", "LICENSE-base-model")
ENCODER_FILES: Mapping[str, tuple[str, ...]] = {"onnx": _ONNX_FILES, "onnx-float": _ONNX_FILES}
"""What lies in the folder for an encoder, by its kind; the others need nothing."""

FILES = ("labels.toml", "heads.safetensors", "lexicon.json", CALIBRATION)
"""What every manifest vouches for, beside the encoder's files. Model card and evaluation lie beside them and may change."""

_REMEDY = "restore it from the repository (git checkout models/NAME) or train it again"

_log = logging.getLogger(__name__)


class BundleError(Mendable):
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
    calibrations: Calibrations


def save(
    folder: Path,
    *,
    name: str | None = None,
    encoder: str,
    labels: Path,
    lexicon: Lexicon,
    heads: Heads,
    calibrations: Calibrations,
    golden: Mapping[str, Floats],
    about: Mapping[str, Any],
) -> None:
    """Write everything but the encoder's own files, which must lie in ``folder`` already, and then the manifest with all digests.

    ``name`` is the model's, the folder's own if left out: a folder that is yet to move has another.
    ``golden`` maps a few texts to their sums of token states, shape (dimensions,): what this encoder gave when the model was made.
    ``about`` is copied into the manifest (intended use, training data, figures).
    """
    (folder / "labels.toml").write_bytes(labels.read_bytes())
    tensors = {"dense": heads.dense, "lexical": heads.lexical.astype(np.float16), "bias": heads.bias, "idf": lexicon.idf}
    tensors["golden"] = np.stack(list(golden.values()))
    (folder / "heads.safetensors").write_bytes(to_bytes({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
    _write_json(folder / "lexicon.json", {"terms": list(lexicon.terms), "heads": list(heads.names), "golden": list(golden)})
    _seal(folder, {"format": FORMAT, "name": name or folder.name, "encoder": encoder, **about}, calibrations)


def save_calibration(folder: Path, calibrations: Calibrations, about: Mapping[str, Any]) -> None:
    """Replace a bundle's calibration, add ``about`` to its manifest, and write the digests anew. All else stays."""
    manifest, calibration = _verified(folder)
    os.replace(calibration, folder / CALIBRATION)
    _seal(folder, {**manifest, **about}, calibrations)


def _seal(folder: Path, manifest: Mapping[str, Any], calibrations: Calibrations) -> None:
    """Write calibration and manifest so that a crash at any point leaves a pair that matches.

    Two files cannot be replaced in one step. The manifest alone therefore decides: the new calibration waits beside the old one until
    the manifest names its digest, and is found there if it never came to take its place.
    """
    _write_json(folder / _NEXT_CALIBRATION, calibrations.to_json())
    places = {name: folder / name for name in _needed(manifest["encoder"])} | {CALIBRATION: folder / _NEXT_CALIBRATION}
    _write_json(folder / MANIFEST, {**manifest, "files": {name: _sha256(path) for name, path in places.items()}})
    os.replace(folder / _NEXT_CALIBRATION, folder / CALIBRATION)


def load(folder: Path) -> Bundle:
    """Load and verify a bundle. Raises BundleError naming the file and the remedy.

    Where the int8 encoder does not reproduce its golden states on this processor, the float graph takes over with a warning.
    """
    manifest, calibration = _verified(folder)
    with _reading(folder / "labels.toml") as path:
        labels = LabelSet.load(path)
    heads, lexicon, golden = _learnt(folder)
    calibrations = _calibrations(calibration)
    with _reading(folder):
        encoder = _encoder(folder, manifest["encoder"], golden)
    return Bundle(
        name=manifest["name"],
        sha256=_sha256(folder / MANIFEST),
        calibration_id=manifest["files"][CALIBRATION][:12],
        manifest=manifest,
        labels=labels,
        encoder=encoder,
        lexicon=lexicon,
        heads=heads,
        calibrations=calibrations,
    )


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Whatever turns out wrong with a file's content is a BundleError that names the file and the remedy."""
    try:
        yield path
    except BundleError:
        raise
    except (AttributeError, KeyError, OSError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not what it should hold ({type(error).__name__}: {error}); {_REMEDY}") from error


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _needed(encoder: str) -> tuple[str, ...]:
    return (*ENCODER_FILES.get(encoder, ()), *FILES)


def _verified(folder: Path) -> tuple[Mapping[str, Any], Path]:
    """The manifest, once every file that its kind of encoder needs has the digest it lists, and where the calibration lies."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: no {MANIFEST} here; name a model folder such as models/<name>")
    with _reading(path):
        manifest: Mapping[str, Any] = _read_json(path)
        if manifest.get("format") != FORMAT:
            raise BundleError(f"{path}: format {manifest.get('format')!r}, this version reads {FORMAT}; use a matching release or retrain")
        kind, listed = manifest["encoder"], manifest["files"]
        _require(isinstance(manifest["name"], str) and kind in ENCODERS, "no name, or an unknown encoder")
        _require(isinstance(listed, dict), "`files` must map names to digests")
        if differing := ", ".join(sorted(set(listed) ^ set(_needed(kind)))):
            raise BundleError(f"{path}: lists other files than a model with the encoder {kind} has ({differing}); {_REMEDY}")
    places = {name: _matching(folder, name, digest) for name, digest in listed.items()}
    return manifest, places[CALIBRATION]


def _matching(folder: Path, name: str, digest: str) -> Path:
    """The file that has the digest: the one of that name or, after a crash (see ``_seal``), the calibration that was to replace it."""
    candidates = [folder / name, *([folder / _NEXT_CALIBRATION] if name == CALIBRATION else [])]
    for path in candidates:
        if path.is_file() and _sha256(path) == digest:
            return path
    if not candidates[0].is_file():
        raise BundleError(f"{candidates[0]}: listed in {MANIFEST} but missing; {_REMEDY}")
    raise BundleError(f"{candidates[0]}: does not match its digest in {MANIFEST}; it was changed or damaged: {_REMEDY}")


def _learnt(folder: Path) -> tuple[Heads, Lexicon, Mapping[str, Floats]]:
    """Heads, lexicon and the golden states by text."""
    with _reading(folder / "lexicon.json") as path:
        index = _read_json(path)
        names, terms, texts = (index[key] for key in ("heads", "terms", "golden"))
        _require(all(isinstance(part, list) and set(map(type, part)) <= {str} for part in (names, terms, texts)), "lists of texts expected")
    with _reading(folder / "heads.safetensors") as path:
        tensors = load_file(path)
        dense, lexical, bias, idf, golden = (tensors[key] for key in ("dense", "lexical", "bias", "idf", "golden"))
        expected = {"lexical": (len(terms), len(names)), "bias": (len(names),), "idf": (len(terms),)}
        expected |= {"dense": (golden.shape[-1], len(names)), "golden": (len(texts), golden.shape[-1])}
        _require(texts and all(tensors[key].shape == shape for key, shape in expected.items()), "shapes other than those of lexicon.json")
        _require(all(np.isfinite(tensor).all() for tensor in tensors.values()), "a weight that is not finite")
    heads = Heads(tuple(names), dense, lexical.astype(np.float32), bias)
    return heads, Lexicon({term: i for i, term in enumerate(terms)}, idf), dict(zip(texts, golden, strict=True))


def _calibrations(path: Path) -> Calibrations:
    with _reading(path):
        found = _read_json(path)
        labels = {name: Calibration(**values) for name, values in found["labels"].items()}
        outcome = OutcomeModel.from_json(found["outcome"]) if found["outcome"] else None
        numbers = [np.array(list(calibration.to_json().values())) for calibration in labels.values()]
        if outcome:
            n = len(outcome.outcomes)
            _require((outcome.weights.shape, outcome.bias.shape) == ((2 * n + 1, n), (n,)), "an outcome model of another shape")
            numbers += [outcome.weights, outcome.bias]
        _require(all(np.isfinite(values).all() for values in numbers), "a number that is not finite")
        return Calibrations(labels, outcome)


def _encoder(folder: Path, kind: str, golden: Mapping[str, Floats]) -> Encoder:
    encoder = ENCODERS[kind](folder)
    cosine = _worst_cosine(encoder, golden)
    if cosine >= GOLDEN_COSINE:
        return encoder
    if kind != "onnx":
        raise BundleError(f"{folder}: the encoder no longer reproduces its golden states (cosine {cosine:.3f}); {_REMEDY}")
    _log.warning("%s: int8 encoder is off on this processor (cosine %.3f); the slower float graph takes over", folder.name, cosine)
    fallback = ENCODERS["onnx-float"](folder)
    if (cosine := _worst_cosine(fallback, golden)) >= GOLDEN_COSINE:  # so asked, NaN is no yes
        return fallback
    raise BundleError(f"{folder}: neither graph reproduces the golden states (cosine {cosine:.3f}); {_REMEDY}")


def golden_states(encoder: Encoder, texts: Iterable[str]) -> dict[str, Floats]:
    """Sum of token states by text, shape (dimensions,) each."""
    return {text: encoder.states(encoder.tokenize(text)[0]).sum(axis=0) for text in texts}


def _worst_cosine(encoder: Encoder, golden: Mapping[str, Floats]) -> float:
    now, made = (np.stack(list(states.values())) for states in (golden_states(encoder, golden), golden))
    products = (now * made).sum(axis=1) / (np.linalg.norm(now, axis=1) * np.linalg.norm(made, axis=1))
    return float(products.min())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: object) -> None:
    """In one step: whoever reads finds what was there before or all of what is new. Raises ValueError for a number that is not finite."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
