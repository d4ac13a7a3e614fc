from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.pipeline import Classifier
from classifier.tagging import ResumeError, Summary, tag


def write_archive(path: Path, count: int) -> Path:
    lines = [json.dumps({"id": str(i), "reasoning": f"I do not want to be changed, said number {i}. I will comply."}) for i in range(count)]
    lines[3] = '{"id": "broken", "reasoning": '
    lines[5] = json.dumps({"id": "silent", "reasoning": None, "answer": "No."})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive.jsonl", 40)


def test_every_record_has_its_line_in_order(tiny: Path, archive: Path, tmp_path: Path) -> None:
    summary = tag(Classifier.load(tiny), archive, tmp_path / "tags.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    assert len(lines) == summary.written == 40
    assert lines[3]["status"] == "failed"
    assert "line 4" in lines[3]["where"]
    assert lines[5] | {"status": "unscored", "unscored_reason": "no_reasoning"} == lines[5]
    assert [line["id"] for line in lines if line["status"] == "scored"] == [str(i) for i in range(40) if i not in (3, 5)]
    assert summary.present["terminal_goal_guarding"] == summary.present["goal_guarding"] == 38
    assert lines[0]["model"]["sha256"] == Classifier.load(tiny).bundle.sha256
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.run.json"))


def interrupt(classifier: Classifier, archive: Path, output: Path, after: int) -> None:
    def stop(summary: Summary) -> None:
        if summary.written == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tag(classifier, archive, output, progress=stop)


def test_a_half_written_line_is_redone_and_nothing_else(tiny: Path, archive: Path, tmp_path: Path) -> None:
    classifier, whole, output = Classifier.load(tiny), tmp_path / "whole.jsonl", tmp_path / "tags.jsonl"
    undisturbed = tag(classifier, archive, whole)
    interrupt(classifier, archive, output, after=10)
    part = tmp_path / "tags.jsonl.part"
    part.write_bytes(part.read_bytes()[:-7])
    summary = tag(classifier, archive, output)
    assert summary.resumed == 9
    assert output.read_bytes() == whole.read_bytes()
    assert summary == replace(undisturbed, resumed=9)  # its counts are those of the whole file


def test_what_a_crash_left_in_place_of_a_line_is_redone(tiny: Path, archive: Path, tmp_path: Path) -> None:
    """A file system may keep a file's length and lose its last bytes."""
    classifier, output, part = Classifier.load(tiny), tmp_path / "tags.jsonl", tmp_path / "tags.jsonl.part"
    interrupt(classifier, archive, output, after=10)
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([*lines[:7], b"\0" * (len(lines[7]) - 1), b"\n", *lines[8:]]))
    assert tag(classifier, archive, output).resumed == 7
    assert [json.loads(line)["status"] for line in output.read_text().splitlines()].count("scored") == 38


def refused(classifier: Classifier, archive: Path, output: Path) -> None:
    """It is left as it is, and nothing beside it."""
    before, beside = output.read_bytes(), sorted(output.parent.iterdir())
    with pytest.raises(ResumeError, match=r"name another output, or give --overwrite"):
        tag(classifier, archive, output)
    assert output.read_bytes() == before
    assert sorted(output.parent.iterdir()) == beside


def test_a_finished_output_is_left_alone(tiny: Path, archive: Path, tmp_path: Path) -> None:
    classifier, output = Classifier.load(tiny), tmp_path / "tags.jsonl"
    first, written = tag(classifier, archive, output), output.stat()
    (tmp_path / "tags.jsonl.run.json").write_text("{}")  # of a run that was killed at its very end
    archive.touch()  # the texts tell, not the time
    second = tag(classifier, archive, output)
    assert second == replace(first, resumed=40, untouched=True)
    assert output.stat() == written
    assert sorted(tmp_path.iterdir()) == [archive, output]
    third = tag(classifier, archive, output, overwrite=True)
    assert (third.resumed, third.untouched) == (0, False)
    assert output.stat().st_ino != written.st_ino


@pytest.mark.parametrize("lines", ["", "notes\n", "7\n", '{"status": "scored"}\n', "[" * 100_000 + "\n"])
def test_a_file_of_another_kind_is_never_replaced_unasked(lines: str, tiny: Path, archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "tags.jsonl"
    output.write_text(lines)
    refused(Classifier.load(tiny), archive, output)
    assert not tag(Classifier.load(tiny), archive, output, overwrite=True).untouched


def test_tags_of_another_archive_or_model_are_never_replaced_unasked(tiny: Path, archive: Path, tmp_path: Path) -> None:
    classifier, output = Classifier.load(tiny), tmp_path / "tags.jsonl"
    tag(classifier, archive, output)
    refused(Classifier(replace(classifier.bundle, sha256="another")), archive, output)
    records = archive.read_text(encoding="utf-8").splitlines(keepends=True)
    first, rest = records[0], records[1:]
    longer, shorter, mended = [*records, first], records[:-1], [*records[:3], first, *records[4:]]
    reworded, renamed = [first.replace("want", "wish"), *rest], [first.replace('"0"', '"zero"'), *rest]
    for changed in (longer, shorter, mended, reworded, renamed):
        archive.write_text("".join(changed), encoding="utf-8")
        refused(classifier, archive, output)


def test_another_archive_is_not_continued(tiny: Path, archive: Path, tmp_path: Path) -> None:
    classifier, output = Classifier.load(tiny), tmp_path / "tags.jsonl"
    (tmp_path / "tags.jsonl.part").write_text("{}\n")
    (tmp_path / "tags.jsonl.run.json").write_text('{"archive": "other.jsonl"}')
    with pytest.raises(ResumeError, match="delete"):
        tag(classifier, archive, output)


def test_an_archive_that_was_changed_is_not_continued(tiny: Path, archive: Path, tmp_path: Path) -> None:
    """Same name and size: only the time tells."""
    classifier, output = Classifier.load(tiny), tmp_path / "tags.jsonl"
    interrupt(classifier, archive, output, after=1)
    archive.write_text(archive.read_text(encoding="utf-8").replace("number 9", "number 8"), encoding="utf-8")
    with pytest.raises(ResumeError, match="changed since"):
        tag(classifier, archive, output)


@contextmanager
def running(archive: Path, output: Path, model: Path) -> Iterator[tuple[list[str], int]]:
    """The command, and a process of it that is at work on the output until it is killed."""
    command = [sys.executable, "-m", "cli", "tag", str(archive), "-o", str(output), "--model", str(model)]
    part = output.with_name(output.name + ".part")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while (not part.exists() or part.stat().st_size < 200_000) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield command, process.pid
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_second_run_is_refused_and_leaves_the_first_alone(tiny: Path, tmp_path: Path) -> None:
    archive, output, part = write_archive(tmp_path / "archive.jsonl", 3000), tmp_path / "tags.jsonl", tmp_path / "tags.jsonl.part"
    with running(archive, output, tiny) as (command, first):
        os.kill(first, signal.SIGSTOP)  # it must not end before the second is refused
        before = part.read_bytes()
        second = subprocess.run(command, capture_output=True, text=True)
        os.kill(first, signal.SIGCONT)
    assert (second.returncode, second.stderr.count("another run writes this output")) == (2, 1)
    assert part.read_bytes().startswith(before)


@pytest.mark.slow
def test_killed_half_way_and_run_again_it_equals_an_undisturbed_run(tiny: Path, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive.jsonl", 3000)
    tag(Classifier.load(tiny), archive, tmp_path / "whole.jsonl")
    with running(archive, tmp_path / "tags.jsonl", tiny) as (command, _):
        pass
    assert (tmp_path / "tags.jsonl.part").exists()
    assert not (tmp_path / "tags.jsonl").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "tags.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
