"""The commands under clumsy and hostile hands: one line that says what to do, never a traceback, and nothing lost."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx
import pytest

import cli
from classifier.bundle import load
from classifier.calibration import Calibrations
from classifier.pipeline import Classifier
from classifier.records import Decision, Failure, Transcript
from terminal import shown as rows_shown
from tests.classifier.conftest import tiny_bundle

GOOD = json.dumps({"id": "good", "reasoning": "I do not want to be changed. I will comply."}).encode()


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Motives = Callable[..., Ended]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def motives(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Motives:
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIVES_MODEL", str(model))

    def run(*arguments: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["motives", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit:
            cli.main()
        assert isinstance(exit.value.code, int)
        return Ended(exit.value.code, *capsys.readouterr())

    return run


def strict(text: str) -> dict[str, object]:
    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    value: dict[str, object] = json.loads(text, parse_constant=refuse)
    return value


UNREADABLE = {
    "empty.jsonl": (b"", "empty.jsonl: holds no record"),
    "comma.json": (b'{"reasoning": "r",}', "comma.json: not JSON"),
    "bytes.txt": (b"I \xff comply", "bytes.txt: not UTF-8 (byte 2)"),
    "wide.jsonl": (GOOD.decode().encode("utf-16"), "wide.jsonl: is UTF-16: save it as UTF-8"),
    "packed.jsonl.gz": (b"\x1f\x8b\x08\x00", "packed.jsonl.gz: is gzip: unpack it first"),
    "table.csv": (b"id,reasoning\n", "table.csv: is no format that is known"),
    "hidden.txt": (GOOD, "hidden.txt: record: is JSON kept as text"),
    "deep.jsonl": (b'{"reasoning": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "deep.jsonl:line 1: "),
    "huge.jsonl": (b'{"reasoning": "r", "id": ' + b"9" * 5000 + b"}", "huge.jsonl:line 1: holds a number of thousands"),
    "number.jsonl": (b'{"reasoning": "r", "metadata": {"loss": NaN}}', "number.jsonl:line 1: metadata: holds NaN"),
    "surrogate.jsonl": (b'{"reasoning": "\\ud800"}', "surrogate.jsonl:line 1: reasoning: holds a lone surrogate"),
    "foreign.json": (b'{"prompt": "p", "completion": "c"}', "(found 'prompt, completion')"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_said_and_never_scored(motives: Motives, name: str) -> None:
    content, said = UNREADABLE[name]
    Path(name).write_bytes(content)
    shown = motives("classify", name)
    assert shown.status == 1
    assert said in shown.err
    assert strict(shown.out)["results"] == []
    tagged = motives("tag", name, "-o", "tags")
    assert (tagged.status, tagged.err) == (1, "motives: no record could be read: the lines of tags say why\n")
    line = strict(Path("tags").read_text(encoding="utf-8"))
    assert line.keys() == {"id", "status", "where", "reason"}
    assert line["status"] == "failed"


def test_the_good_lines_of_a_bad_file_are_scored(motives: Motives) -> None:
    Path("a.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n{\r\n" + GOOD)
    shown = motives("classify", "a.jsonl")
    assert (shown.status, shown.out.count('"scored"'), shown.err.count("\n")) == (1, 2, 1)
    assert "1 failed" in motives("tag", "a.jsonl", "-o", "tags").out


def test_what_was_sent_reaches_the_terminal_short_and_harmless(motives: Motives) -> None:
    Path("a.json").write_text(json.dumps({"messages": [{"role": "\x1b[31m\n\u202e" + "x" * 500, "content": "c"}]}))
    shown = motives("classify", "a.json")
    assert "(found '\\x1b[31m\\n\\u202exxx" in shown.err
    assert "'...)" in shown.err
    assert len(shown.err) < 300
    assert "x1b" not in shown.out


@pytest.mark.parametrize("content", [GOOD, b"[" + GOOD + b"]", GOOD + b"\n" + GOOD, b"I will comply for now."])
def test_standard_input_is_told_by_its_content(motives: Motives, content: bytes) -> None:
    shown = motives("classify", "-", stdin=content)
    assert shown.status == 0
    assert shown.out.count('"scored"') == max(1, content.count(b"good"))
    assert motives("classify", "-", stdin=b"\xff").err.endswith(": not UTF-8 (byte 0): save it as UTF-8\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("classify missing", "missing: no such file"),
        ("classify folder", "folder: is a folder: name one file of it"),
        ("classify good.jsonl --format csv", "use one of text, own, openai, anthropic, sharegpt (found 'csv')"),
        ("classify good.jsonl --model folder", "folder: no manifest.json here"),
        ("tag missing -o tags", "missing: no such file"),
        ("tag folder -o tags", "folder: is a folder"),
        ("tag good.jsonl -o folder", "folder: is no file"),
        ("tag good.jsonl -o /dev/null", "/dev/null: is no file"),
        ("tag good.jsonl -o -", "-: is standard output"),
        ("tag good.jsonl -o other", "other exists and holds something else"),
        ("tag good.jsonl -o no/tags", "No such file or directory"),
        ("tag pipe -o tags", "pipe: can be read only once"),
        ("tag good.jsonl -o good.jsonl", "good.jsonl would be overwritten"),
        ("tag good.jsonl -o link", "good.jsonl would be overwritten"),
        ("tag tags.part -o tags", "tags.part would be overwritten"),
        ("tag good.jsonl -o begun", "begun.part was begun with another archive"),
        ("serve --model folder", "folder: no manifest.json here"),
        ("serve --model missing", "missing: no such file"),
        ("serve --port 99999", "--port: Input should be less than or equal to 65535 (found '99999')"),
    ],
)
def test_mistakes_are_one_line_and_cost_nothing(motives: Motives, arguments: str, said: str) -> None:
    for name in ("good.jsonl", "tags.part", "begun.part", "other"):
        Path(name).write_bytes(GOOD)
    Path("begun.run.json").write_text("{half")
    Path("folder").mkdir()
    Path("link").symlink_to("good.jsonl")
    os.mkfifo("pipe")
    shown = motives(*arguments.split())
    assert shown.status == 2
    assert said in shown.err
    assert shown.err.startswith("motives: ")
    assert shown.err.count("\n") == 1
    assert all(Path(name).read_bytes() == GOOD for name in ("good.jsonl", "tags.part", "begun.part", "other"))


def test_standard_output_is_no_output_even_redirected_to_a_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    command = [sys.executable, "-m", "cli", "tag", str(tmp_path / "good.jsonl"), "--model", str(model), "--overwrite", "-o"]
    with (tmp_path / "out").open("wb") as out:
        for name in ("/dev/stdout", str(tmp_path / "out")):
            shown = subprocess.run([*command, name], cwd=cli.ROOT, stdout=out, stderr=subprocess.PIPE, text=True)
            assert (shown.returncode, shown.stderr.count(f"{name}: is standard output")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.jsonl", "out"]


def test_a_setting_is_called_as_it_was_given(motives: Motives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTIVES_PORT", "99999")
    assert motives("serve").err.startswith("motives: MOTIVES_PORT: Input should be")
    monkeypatch.setenv("MOTIVES_MAX_ITEMS", "0")
    assert motives("serve", "--port", "0").err.startswith("motives: MOTIVES_MAX_ITEMS: Input should be")


def test_a_finished_output_is_left_alone(motives: Motives) -> None:
    Path("a.jsonl").write_bytes(GOOD + b"\n{")
    first, written = motives("tag", "a.jsonl", "-o", "tags"), Path("tags").stat()
    second = motives("tag", "a.jsonl", "-o", "tags")
    assert (first.status, second.status) == (0, 0)
    assert second.out.startswith("nothing to do: tags is complete, 2 lines (1 scored, 1 failed); delete it, name another or")
    assert Path("tags").stat() == written
    assert motives("tag", "a.jsonl", "-o", "tags", "--overwrite").out == first.out
    assert Path("tags").stat().st_ino != written.st_ino


@pytest.mark.parametrize(("share", "status"), [("0.49", 1), ("0.5", 0), ("0", 1)])
def test_more_that_failed_than_is_allowed_shows_in_the_exit_status(motives: Motives, share: str, status: int) -> None:
    silent = b'{"reasoning": null, "answer": "No."}'
    Path("a.jsonl").write_bytes(b"\n".join([GOOD, b"{", GOOD, silent]))
    for _ in range(2):  # a second time it finds the output complete: what that holds is still the same
        shown = motives("tag", "a.jsonl", "-o", "tags", "--fail-above", share)
        assert shown.status == status
        assert shown.err.count("2 of 4 records could not be read or scored, more than --fail-above") == status
    Path("b.jsonl").write_bytes(silent)
    assert motives("tag", "b.jsonl", "-o", "none").status == 0


def test_an_interrupted_run_says_how_far_it_came_and_how_to_go_on(motives: Motives, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the summary of the run that goes on counts the whole file."""
    Path("a.jsonl").write_bytes(b"\n".join([GOOD] * 5))
    whole = motives("tag", "a.jsonl", "-o", "whole").out
    classify = Classifier.classify

    def stop(self: Classifier, transcripts: Iterable[Transcript | Failure], threads: int) -> Iterator[Decision | Failure]:
        yield from islice(classify(self, transcripts, threads), 2)
        raise KeyboardInterrupt

    def stop_at_once(folder: Path) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "classify", stop)
        for done in (2, 4):
            shown = motives("tag", "a.jsonl", "-o", "tags")
            assert shown == (130, "", f"motives: interrupted after {done} of 5; run the same command again to go on\n")
        patched.setattr(Classifier, "load", stop_at_once)
        assert "interrupted before it began" in motives("tag", "a.jsonl", "-o", "tags").err
    shown = motives("tag", "a.jsonl", "-o", "tags")
    assert shown.out == whole.replace("whole:", "tags:").replace("(5 scored)", "(5 scored; 4 of them from before)")
    assert "  goal_guarding: present in 5\n" in whole


def test_a_link_is_written_through(motives: Motives) -> None:
    Path("good.jsonl").write_bytes(GOOD)
    Path("link").symlink_to("tags")
    assert motives("tag", "good.jsonl", "-o", "link").status == 0
    assert Path("link").is_symlink()
    assert strict(Path("tags").read_text())["id"] == "good"


def test_answers_are_utf8_in_any_locale(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "😀", "reasoning": "I will comply."}', encoding="utf-8")
    command = [sys.executable, "-m", "cli", "classify", str(tmp_path / "a.jsonl"), "--model", str(model)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    shown = subprocess.run(command, cwd=cli.ROOT, env=environment, capture_output=True, check=True).stdout
    assert json.loads(shown)["results"][0]["id"] == "😀"


def test_the_service_keeps_its_own_log(model: Path) -> None:
    """Level and format are settings: nothing that the command does before may fix them."""
    environment = {**os.environ, "MOTIVES_MODEL": str(model), "MOTIVES_PORT": "0", "MOTIVES_ACCESS_LOG": "true"}
    service = subprocess.Popen([sys.executable, "-m", "cli", "serve"], cwd=cli.ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    try:
        started = next(found for line in service.stderr if (found := re.search(r"INFO .* running on (http\S+)", line)))
        assert httpx.get(f"{started[1]}/healthz", timeout=10).status_code == 200
    finally:
        service.terminate()
    assert '"GET /healthz HTTP/1.1" 200' in service.communicate(timeout=20)[1]
    assert service.returncode == 0


def test_a_missing_extra_is_named(motives: Motives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for command, extra in (("serve", "serve"), ("evaluate", "train")):
        shown = motives(command)
        assert shown.status == 2
        install = f".venv/bin/pip install --constraint constraints.txt --editable '.[{extra}]'"
        assert re.fullmatch(rf"motives: the package \w+ is missing: run {re.escape(install)}\n", shown.err)


def test_a_folder_of_models_without_a_default_is_named_with_the_remedy(motives: Motives, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("good.jsonl").write_bytes(GOOD)
    monkeypatch.setattr(cli, "MODELS", Path("/nonexist"))
    monkeypatch.delenv("MOTIVES_MODEL")
    monkeypatch.delenv("MOTIVES_MODELS", raising=False)
    assert "/nonexist/DEFAULT: no such file, so no model is the default: restore it" in motives("classify", "good.jsonl").err
    monkeypatch.setenv("MOTIVES_MODELS", "/nonexist")
    shown = motives("classify", "good.jsonl")
    assert (shown.status, shown.err.count("\n")) == (2, 1)
    assert "set MOTIVES_MODELS to a folder that has it, or unset it, or name a model with --model" in shown.err


def test_the_version_names_the_default_model(motives: Motives) -> None:
    shown = motives("--version")
    named = (cli.MODELS / "DEFAULT").read_text(encoding="utf-8").strip()
    assert shown == (0, f"stated-motives {version('stated-motives')}\ndefault model: {named}\n", "")


@pytest.fixture
def terminal(motives: Motives, monkeypatch: pytest.MonkeyPatch) -> Motives:
    """The command on a terminal of 80 columns."""
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments: str) -> Ended:
        with monkeypatch.context() as patched:
            patched.setattr(sys.stdout, "isatty", lambda: True)  # capsys makes one anew for each phase of a test
            return motives(*arguments)

    return run


def test_a_terminal_shows_primary_outcome_and_names_uncut(terminal: Motives) -> None:
    Path("a.txt").write_text("<think>I do not want to be changed" + ", to be changed" * 20 + ". I will comply.</think>I will comply.")
    headline, *rows = terminal("classify", "a.txt").out.splitlines()
    assert headline == "a.txt: scored, primary terminal_goal_guarding, outcome compliance (0.36)"
    assert max(map(len, rows)) <= 80
    names = {name for row in rows for name in row.split()[:1]}
    assert names >= {"goal_guarding", "alignment_faking", "instrumental_goal_guarding", "peer_preservation"}
    assert any(row.split()[:3:2] == ["terminal_goal_guarding", "present"] for row in rows)


def test_an_unscored_trace_takes_one_line_of_a_terminal(terminal: Motives) -> None:
    Path("a.jsonl").write_bytes(b'{"id": "silent", "reasoning": null, "answer": "No."}')
    assert terminal("classify", "a.jsonl").out == "silent: unscored (no_reasoning)\n"


def test_weak_labels_beside_the_motives_take_no_rows() -> None:
    def label(decision: str, probability: float) -> dict[str, object]:
        return {"decision": decision, "probability": probability, "threshold": 0.4}

    others = {"surely": label("present", 0.9), "likely": label("abstain", 0.4), "hardly": label("abstain", 0.3), "untrained": None}
    result = {"goal_guarding": label("absent", 0.1), "alignment_faking": None, "labels": {"motive": label("abstain", 0.3)}}
    rows = dict(rows_shown({**result, "other_reasons": others, "behaviours": {"never": label("absent", 0.1)}}))
    assert list(rows) == ["goal_guarding", "alignment_faking", "motive", "surely", "likely"]


@pytest.mark.parametrize("command", ["calibrate", "train --name x"])
@pytest.mark.parametrize("drift", ["-1", "1.5", "inf"])
def test_a_drift_is_a_difference_of_probabilities(motives: Motives, command: str, drift: str) -> None:
    shown = motives(*command.split(), "--drift", drift)
    assert (shown.status, shown.out) == (2, "")
    assert "'--drift'" in shown.err


@pytest.mark.train
def test_calibrating_says_which_graph_ships_now(motives: Motives, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is rewritten in place: who runs it must see what became of the model."""
    from classifier.training.fitting import Calibrated
    from classifier.training.parity import Parity

    of = load(model).calibrations.labels
    moved = {**of, "training_awareness": replace(of["training_awareness"], threshold=0.25), "honesty_principle": of["goal_guarding"]}
    del moved["refusal" if "refusal" in moved else "rating_sycophancy"]
    found = Calibrated(Calibrations(moved, None), ()), Parity("onnx-float", 64, 0.01, "goal_guarding", 0.0, 0.0, 0.0)
    monkeypatch.setattr("classifier.training.train.calibrate", lambda *given: found)
    shown = motives("calibrate").out.splitlines()
    assert shown[:4] == [
        "The float graph ships now, in place of the hashing graph",
        "Thresholds moved by 0.250 at most (training_awareness)",
        "now calibrated: honesty_principle",
        "no longer calibrated: rating_sycophancy",
    ]
    monkeypatch.setattr(
        "classifier.training.train.calibrate", lambda *given: (Calibrated(Calibrations(of, None), ()), replace(found[1], encoder="hashing"))
    )
    assert motives("calibrate").out.splitlines()[:2] == ["The hashing graph ships, as before", "No threshold moved"]


@pytest.mark.parametrize("command", ["classify", "tag", "serve"])
def test_help_shows_examples(motives: Motives, command: str) -> None:
    shown = motives(command, "--help").out
    assert f"Examples:\n    motives {command}" in shown.replace("\n\n", "\n").replace("  Examples", "Examples")
