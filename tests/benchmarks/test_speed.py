"""The benchmark runs and reports; how fast anything is, is for a quiet machine to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SPEED = Path(__file__).resolve().parents[2] / "benchmarks" / "speed.py"
_FIGURES = {
    "cpu_ratio",
    "cpu_ours",
    "cpu_peer",
    "cpu_in_process",
    "http_share",
    "rate_ours",
    "rate_in_process",
    "rate_peer",
    "p50",
    "p99",
    "memory_loaded",
    "memory_after",
    "memory_peer",
    "ready",
}


@pytest.mark.train
@pytest.mark.slow
def test_a_quick_run_reports_every_figure(shipped: Path, tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    command = [sys.executable, str(_SPEED), "--quick", "--model", str(shipped), "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["figures"].keys() == _FIGURES
    assert all(figure["value"] > 0 for figure in report["figures"].values())
    assert {name for name, figure in report["figures"].items() if figure["ok"] is not None} == {
        "cpu_ratio",
        "http_share",
        "p50",
        "memory_loaded",
        "memory_after",
        "ready",
    }
    (only,) = report["rounds"]
    assert 0 <= only["foreign"] <= 1
    assert report["model"] == shipped.name
    assert "foreign" in done.stdout
    assert "short" in done.stdout or "ok" in done.stdout
