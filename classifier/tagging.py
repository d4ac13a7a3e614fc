"""Tag an archive: one JSON line a transcript, in order, resumable after any interruption."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from shutil import SameFileError
from typing import IO, Any

from classifier.formats import read
from classifier.pipeline import Classifier
from classifier.records import Decision
from classifier.wire import decision_json, failure_json, model_json

_SYNC_EVERY = 256


class ResumeError(ValueError):
    """An output that was begun with another archive, model or format; the message says what to do."""


@dataclass(slots=True)
class Summary:
    """What a run has written: lines by status (scored, abstained, unscored, failed), motives found present, lines kept from before."""

    statuses: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    @property
    def written(self) -> int:
        """Lines written, those of an earlier run that was interrupted included."""
        return self.resumed + self.statuses.total()

    def count(self, line: dict[str, Any]) -> None:
        """Add one line's result."""
        self.statuses[line["status"]] += 1
        self.present.update(name for name, label in line.get("labels", {}).items() if label and label["decision"] == "present")


def tag(
    classifier: Classifier,
    archive: Path,
    output: Path,
    *,
    format: str | None = None,
    threads: int = 2,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Write one line for each record of ``archive`` to ``output``: its result, or why it could not be read.

    Lines go to ``<output>.part`` and only a complete file takes the name ``output``. A run that was killed goes on where it stopped, if
    archive, model and format are still those of ``<output>.run.json``. Raises ResumeError where they are not, SameFileError where one of
    these files is the archive itself, OSError where disks fail.
    """
    output = output.resolve()  # through a link, not in its place
    part, run = (output.with_name(output.name + suffix) for suffix in (".part", ".run.json"))
    if any(path.exists() and path.samefile(archive) for path in (output, part, run)):
        raise SameFileError(f"{archive} would be overwritten: name another output")
    model = {key: value for key, value in model_json(classifier.bundle).items() if key != "intended_use"}
    summary = Summary(
        resumed=_resume(part, run, {"archive": archive.name, "bytes": archive.stat().st_size, "format": format, "model": model})
    )
    records = islice(read(archive, format), summary.resumed, None)
    with part.open("a", encoding="utf-8") as file:
        for number, result in enumerate(classifier.classify(records, threads), start=1):
            line = decision_json(result) | {"model": model} if isinstance(result, Decision) else failure_json(result)
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            summary.count(line)
            if number % _SYNC_EVERY == 0:
                _sync(file)
            progress(summary)
        _sync(file)
    os.replace(part, output)
    run.unlink()
    return summary


def count_records(archive: Path, format: str | None = None) -> int:
    """Records of an archive, readable or not: a progress bar's total."""
    return sum(1 for _ in read(archive, format))


def _resume(part: Path, run: Path, wanted: dict[str, Any]) -> int:
    """Number of lines finished by an earlier run of the same kind; a line only half written is cut off."""
    if not part.exists():
        with run.open("w", encoding="utf-8") as file:
            json.dump(wanted, file)
            _sync(file)
        return 0
    if _begun(run) != wanted:
        raise ResumeError(f"{part} was begun with another archive, model or format: delete {part} and {run.name}, or name another output")
    lines = end = 0
    with part.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            lines, end = lines + 1, end + len(line)
        file.truncate(end)
    return lines


def _begun(run: Path) -> object:
    """What the run file says; None where there is none, or not a whole one."""
    try:
        return json.loads(run.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _sync(file: IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())
