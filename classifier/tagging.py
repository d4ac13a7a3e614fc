"""Tag an archive: one JSON line a transcript, in order, resumable after any interruption."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
_PART, _RUN = ".part", ".run.json"


class ResumeError(ValueError):
    """An output that another run is writing, or began with another archive, model or format; the message says what to do."""


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
    archive, model and format are still those of ``<output>.run.json``. Raises ResumeError where they are not or where another run is
    writing, SameFileError where one of these files is the archive itself, OSError where disks fail.
    """
    output = output.resolve()  # through a link, not in its place
    part, run = (output.with_name(output.name + suffix) for suffix in (_PART, _RUN))
    if any(path.exists() and path.samefile(archive) for path in (output, part, run)):
        raise SameFileError(f"{archive} would be overwritten: name another output")
    model = {key: value for key, value in model_json(classifier.bundle).items() if key != "intended_use"}
    with _locked(run) as begun:
        summary = Summary(resumed=_resume(part, begun, {**_identity(archive), "format": format, "model": model}))
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


@contextmanager
def _locked(run: Path) -> Iterator[IO[str]]:
    """The run file, open and kept from every other run; the system lifts the lock of a run that was killed."""
    while True:
        with run.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                output = run.with_name(run.name.removesuffix(_RUN))
                raise ResumeError(f"another run writes this output ({output}): wait for it, or name another output") from None
            if os.fstat(file.fileno()).st_nlink:  # else a run that ended meanwhile has removed it, and the next would make its own
                yield file
                return


def _identity(archive: Path) -> dict[str, Any]:
    """What tells an archive from another, or from itself once it was changed, without reading it."""
    found = archive.stat()
    return {"archive": archive.name, "bytes": found.st_size, "modified_ns": found.st_mtime_ns}


def _resume(part: Path, begun: IO[str], wanted: dict[str, Any]) -> int:
    """Number of lines finished by an earlier run of the same kind; a line only half written is cut off."""
    if not part.exists():
        begun.truncate(0)
        json.dump(wanted, begun)
        _sync(begun)
        return 0
    if _said(begun) != wanted:
        raise ResumeError(
            f"{part} was begun with another archive, model or format, or the archive was changed since: "
            f"delete {part} and {Path(begun.name).name}, or name another output"
        )
    lines = end = 0
    with part.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            lines, end = lines + 1, end + len(line)
        file.truncate(end)
    return lines


def _said(begun: IO[str]) -> object:
    """What the run file says; None where it is not a whole one."""
    begun.seek(0)
    try:
        return json.load(begun)
    except ValueError:
        return None


def _sync(file: IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())
