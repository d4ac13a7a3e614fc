"""Tag an archive: one JSON line a transcript, in order, resumable after any interruption."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from shutil import SameFileError
from typing import IO, Any

from classifier.errors import Mendable
from classifier.formats import read
from classifier.pipeline import Classifier, input_sha256
from classifier.reading import DERIVED
from classifier.records import Decision, Failure, Transcript
from classifier.wire import decision_json, failure_json, model_json

_SYNC_EVERY = 256
_PART, _RUN = ".part", ".run.json"


class ResumeError(Mendable):
    """An output that another run is writing, began or finished with another archive, model or format; the message says what to do."""


@dataclass(slots=True)
class Summary:
    """What an output holds so far, those lines included that an earlier run had written before it was interrupted.

    ``statuses`` counts lines (scored, abstained, unscored, failed), ``present`` the motives, derived labels and behaviours that were found.
    ``resumed`` is the number of lines from before, ``total`` that of the archive's records, None until they are counted. ``untouched``: the
    output was complete before, and nothing was done.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    total: int | None = None
    untouched: bool = False

    @property
    def written(self) -> int:
        """Lines written."""
        return self.statuses.total()

    def count(self, line: dict[str, Any]) -> None:
        """Add one line's result."""
        self.statuses[line["status"]] += 1
        found = {name: line.get(name) for name in DERIVED} | line.get("labels", {}) | line.get("behaviours", {})
        self.present.update(name for name, label in found.items() if label and label["decision"] == "present")


def tag(
    classifier: Classifier,
    archive: Path,
    output: Path,
    *,
    format: str | None = None,
    threads: int = 2,
    overwrite: bool = False,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Write one line for each record of ``archive`` to ``output``: its result, or why it could not be read.

    Lines go to ``<output>.part`` and only a complete file takes the name ``output``. A run that was killed goes on where it stopped, if
    archive, model and format are still those of ``<output>.run.json``. An ``output`` that holds these very results already is left alone,
    any other is replaced only where ``overwrite`` says so. ``progress`` is called once before the first record and after each.
    Raises ResumeError where archive, model or format are others or where another run is writing, SameFileError where one of these files is
    the archive itself, OSError where disks fail.
    """
    output = output.resolve()  # through a link, not in its place
    part, run = (output.with_name(output.name + suffix) for suffix in (_PART, _RUN))
    if any(path.exists() and path.samefile(archive) for path in (output, part, run)):
        raise SameFileError(f"{archive} would be overwritten: name another output")
    model = {key: value for key, value in model_json(classifier.bundle).items() if key != "intended_use"}
    with _locked(run) as begun:
        if output.exists() and not overwrite:
            summary = _finished(output, read(archive, format), model)
            if not part.exists():
                begun.truncate(0)  # of a run that was killed as the output took its name
            return summary
        summary = _resume(part, begun, {**_identity(archive), "format": format, "model": model})
        summary.total = sum(1 for _ in read(archive, format))
        progress(summary)
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
                try:
                    yield file
                finally:
                    if not os.fstat(file.fileno()).st_size:  # nothing was begun
                        run.unlink(missing_ok=True)
                return


def _identity(archive: Path) -> dict[str, Any]:
    """What tells an archive from another, or from itself once it was changed, without reading it."""
    found = archive.stat()
    return {"archive": archive.name, "bytes": found.st_size, "modified_ns": found.st_mtime_ns}


def _finished(output: Path, records: Iterable[Transcript | Failure], model: dict[str, Any]) -> Summary:
    """What a finished output holds. Raises ResumeError unless each of its lines is this model's on the record in the same place.

    The lines themselves tell: they name the exact model and the hash of what was scored, wherever the output was moved meanwhile.
    """
    summary = Summary(untouched=True)
    with output.open("rb") as file:
        for record, raw in zip_longest(records, file):
            line = None if raw is None else _whole(raw)
            if record is None or line is None or not _is_of(line, record, model):
                raise ResumeError(
                    f"{output} exists and holds something else than the tags of this archive by this model: "
                    "name another output, or give --overwrite to replace it"
                )
            summary.count(line)
    summary.resumed = summary.total = summary.written
    return summary


def _is_of(line: dict[str, Any], record: Transcript | Failure, model: dict[str, Any]) -> bool:
    """Whether a line says what the model says of the record. ``where`` may differ: it holds the archive's path as it was given."""
    if isinstance(record, Failure):
        return {**failure_json(record), "where": line.get("where")} == line
    wanted = {"model": model, "id": record.id, "input_sha256": input_sha256(record)}
    return wanted == {key: line.get(key) for key in wanted}


def _resume(part: Path, begun: IO[str], wanted: dict[str, Any]) -> Summary:
    """What an earlier run of the same kind has finished; a line only half written is cut off, with all behind it."""
    summary = Summary()
    if not part.exists():
        begun.truncate(0)
        json.dump(wanted, begun)
        _sync(begun)
        return summary
    if _said(begun) != wanted:
        raise ResumeError(
            f"{part} was begun with another archive, model or format, or the archive was changed since: "
            f"delete {part} and {Path(begun.name).name}, or name another output"
        )
    end = 0
    with part.open("r+b") as file:
        for raw in file:
            if (line := _whole(raw)) is None:
                break
            summary.count(line)
            end += len(raw)
        file.truncate(end)
    summary.resumed = summary.written
    return summary


def _whole(raw: bytes) -> dict[str, Any] | None:
    """One line of an output; None where it is cut short, or no such line at all."""
    try:
        line = json.loads(raw) if raw.endswith(b"\n") else None
    except (RecursionError, ValueError):
        return None
    return line if isinstance(line, dict) and "status" in line else None


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
