from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from classifier.bundle import ENCODER_FILES, BundleError, load, save_calibration
from classifier.calibration import Calibration, Calibrations
from classifier.encoders.onnx import OnnxEncoder
from tests.classifier.conftest import tiny_bundle


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_a_bundle_round_trips(tiny: Path) -> None:
    first, second = load(tiny), load(tiny)
    assert first.sha256 == second.sha256
    assert np.array_equal(first.heads.lexical, second.heads.lexical)
    assert first.calibrations.to_json() == second.calibrations.to_json()


@pytest.mark.parametrize("name", ["heads.safetensors", "calibration.json", "labels.toml", "lexicon.json"])
def test_a_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        load(copy)


def test_a_missing_file_is_refused_by_name(copy: Path) -> None:
    (copy / "lexicon.json").unlink()
    with pytest.raises(BundleError, match="lexicon"):
        load(copy)


def test_a_manifest_cannot_reach_outside(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["../tiny/labels.toml"] = "0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="other files"):
        load(copy)


def test_what_the_manifest_leaves_out_is_not_loaded(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["heads.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"manifest.json: .*heads.safetensors"):
        load(copy)


@pytest.mark.parametrize("name", ENCODER_FILES["onnx"])
def test_a_model_on_onnx_vouches_for_its_encoder(shipped: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"][name]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=name):
        load(copy)


def put(copy: Path, name: str, content: bytes) -> None:
    """Change a file, and its digest with it."""
    (copy / name).write_bytes(content)
    if name != "manifest.json":
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        (copy / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"{}", b'"text"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "heads.safetensors", "calibration.json", "labels.toml", "lexicon.json"])
def test_a_file_that_holds_something_else_is_named_with_the_remedy(copy: Path, name: str, content: bytes) -> None:
    put(copy, name, content)
    with pytest.raises(BundleError, match=rf"{name}: .*; (restore it .*git checkout models/NAME.*|use a matching release.*)$"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("manifest.json", b'"hashing"', b'"other"'),
        ("manifest.json", b'"hashing"', b"[]"),
        ("manifest.json", b'"name": "tiny"', b'"name": null'),
        ("manifest.json", b'"files"', b'"others"'),
        ("calibration.json", b'"slope": 2', b'"slope": NaN'),
        ("calibration.json", b'"slope": 2', b'"slope": 1e999'),
        ("calibration.json", b'"slope": 2', b'"slope": "2"'),
        ("calibration.json", b'"slope": 2', b'"steep": 2'),
        ("calibration.json", b'"outcomes": [', b'"outcomes": ["another",'),
        ("lexicon.json", b'"golden": [', b'"golden": ["another",'),
        ("lexicon.json", b'"heads": [', b'"heads": [7,'),
        ("labels.toml", b"rulings = [", b"rules = ["),
    ],
)
def test_a_wrong_part_is_refused_by_name(copy: Path, name: str, old: bytes, new: bytes) -> None:
    found = (copy / name).read_bytes()
    assert old in found
    put(copy, name, found.replace(old, new, 1))
    with pytest.raises(BundleError, match="heads.safetensors" if b"golden" in old else name):
        load(copy)


@pytest.mark.parametrize("name", ["dense", "lexical", "bias", "idf", "golden"])
def test_weights_are_finite_and_of_one_shape(copy: Path, name: str) -> None:
    tensors = load_file(copy / "heads.safetensors")
    for changed in (tensors[name] * np.float32("nan"), tensors[name][..., :-1].copy()):
        put(copy, "heads.safetensors", to_bytes({**tensors, name: changed}))
        with pytest.raises(BundleError, match=r"heads.safetensors: "):
            load(copy)


def test_a_calibration_that_is_not_finite_is_not_saved(copy: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_calibration(copy, Calibrations({"goal_guarding": Calibration(float("nan"), 0, 100, 0, 0.3, 0.5, 0.7)}, None), {})
    assert load(copy).calibrations


def calibrated(folder: Path) -> tuple[float, bool]:
    """Of a folder's model: the slope, and whether the manifest is the new one."""
    bundle = load(folder)
    return bundle.calibrations.labels["goal_guarding"].slope, "parity" in bundle.manifest


@pytest.mark.parametrize("step", range(6))
def test_a_crash_while_calibrating_leaves_the_old_or_the_new(copy: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    calls = iter(range(100))
    replace = os.replace

    def crash(old: Path, new: Path) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        replace(old, new)

    save = partial(save_calibration, copy, Calibrations({"goal_guarding": Calibration(3, -0.1, 100, 0, 0.3, 0.5, 0.7)}, None))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt) if step < 4 else nullcontext():
            save({"parity": 0})
    assert calibrated(copy) == ((2, False) if step < 3 else (3, True))
    save({"parity": 0})
    assert calibrated(copy) == (3, True)
    assert not list(copy.glob("*next*"))


def test_a_crash_after_a_crash_leaves_the_first_one_s_result(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def crash_at(name: str) -> None:
        def crash(old: Path, new: Path) -> None:
            if Path(old).name == name:
                raise KeyboardInterrupt
            replace(old, new)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", crash)
            found = Calibrations({"goal_guarding": Calibration(next(slopes), -0.1, 100, 0, 0.3, 0.5, 0.7)}, None)
            with pytest.raises(KeyboardInterrupt):
                save_calibration(copy, found, {"parity": 0})

    slopes = iter((3, 4))
    crash_at("calibration.next.json")
    crash_at("manifest.json.part")
    assert calibrated(copy) == (3, True)


def test_a_model_may_be_made_in_a_folder_of_another_name(tmp_path: Path) -> None:
    assert load(tiny_bundle(tmp_path / "made here", called="tiny")).name == "tiny"


def test_another_format_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        load(copy)


def test_a_folder_without_manifest_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="models/<name>"):
        load(tmp_path)


def test_nothing_in_a_bundle_can_run_code(shipped: Path) -> None:
    allowed = {".json", ".toml", ".onnx", ".weights", ".safetensors", ".md", ".svg", ""}
    assert {path.suffix for path in shipped.rglob("*") if path.is_file()} <= allowed


def test_where_int8_drifts_the_float_graph_takes_over(
    shipped: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor whose int8 kernels saturate, as seen from outside: the int8 graph's states are off, the float graph's are not."""
    real = OnnxEncoder.load.__func__  # type: ignore[attr-defined]  # the function under the classmethod

    def drifting(cls: type[OnnxEncoder], folder: Path, graph: str = "encoder.onnx") -> OnnxEncoder:
        encoder: OnnxEncoder = real(cls, folder, graph)
        if graph == "encoder.onnx":
            sound = encoder.states
            encoder.states = lambda ids: np.clip(sound(ids), 0, 0.05)  # type: ignore[method-assign]
        return encoder

    monkeypatch.setattr(OnnxEncoder, "load", classmethod(drifting))
    with caplog.at_level(logging.WARNING):
        bundle = load(shipped)
    assert "float graph takes over" in caplog.text
    ids = bundle.encoder.tokenize("I would rather stay as I am.")[0]
    assert np.isfinite(bundle.encoder.states(ids)).all()


def test_the_tiny_bundle_is_deterministic(tmp_path: Path) -> None:
    assert load(tiny_bundle(tmp_path / "a" / "tiny")).sha256 == load(tiny_bundle(tmp_path / "b" / "tiny")).sha256
