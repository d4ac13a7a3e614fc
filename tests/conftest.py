"""Which tests this machine can run, and what to do about the rest. With CI=true a missing part is a failure, not a skip."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "train": (lambda: importlib.util.find_spec("torch") is not None, "TRAIN=1 make test"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what lacks its requirement, except in CI, where it must run."""
    if os.environ.get("CI") == "true":
        return
    for marker, (available, remedy) in _NEEDS.items():
        if available():
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"needs the {marker} extra: {remedy}"))


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the model that ships."""
    models = ROOT / "models"
    return models / (models / "DEFAULT").read_text(encoding="utf-8").strip()
