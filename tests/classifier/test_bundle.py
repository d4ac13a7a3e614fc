from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from classifier.bundle import BundleError, load
from classifier.encoders.onnx import OnnxEncoder
from tests.classifier.conftest import tiny_bundle


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_a_bundle_round_trips(tiny: Path) -> None:
    first, second = load(tiny), load(tiny)
    assert first.sha256 == second.sha256
    assert np.array_equal(first.heads.lexical, second.heads.lexical)
    assert first.calibrations == second.calibrations


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
    with pytest.raises(BundleError, match="missing"):
        load(copy)


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
