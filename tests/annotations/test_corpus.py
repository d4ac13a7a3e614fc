"""The corpus itself is kept clean: what the lint finds is wrong here too."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("datasketch")

from annotations import datasheet, lint

pytestmark = pytest.mark.train


def test_the_lint_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main([]) == 0, capsys.readouterr().out


def test_the_datasheet_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert datasheet.main(["--check"]) == 0, capsys.readouterr().err
