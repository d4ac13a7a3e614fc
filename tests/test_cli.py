"""The commands under clumsy and hostile hands: one line that says what to do, never a traceback, and nothing lost."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx
import pytest

import cli
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
    assert motives("tag", name, "-o", "tags").status == 0
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
        ("tag good.jsonl -o no/tags", "No such file or directory"),
        ("tag pipe -o tags", "pipe: can be read only once"),
        ("tag good.jsonl -o good.jsonl", "good.jsonl would be overwritten"),
        ("tag good.jsonl -o link", "good.jsonl would be overwritten"),
        ("tag tags.part -o tags", "tags.part would be overwritten"),
        ("tag good.jsonl -o begun", "begun.part was begun with another archive"),
        ("serve --model folder", "folder: no manifest.json here"),
        ("serve --model missing", "missing: no such file"),
        ("serve --port 99999", "MOTIVES_PORT: Input should be less than or equal to 65535 (found '99999')"),
    ],
)
def test_mistakes_are_one_line_and_cost_nothing(motives: Motives, arguments: str, said: str) -> None:
    for name in ("good.jsonl", "tags.part", "begun.part"):
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
    assert all(Path(name).read_bytes() == GOOD for name in ("good.jsonl", "tags.part", "begun.part"))


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
    shown = motives("serve")
    assert (shown.status, shown.err) == (
        2,
        "motives: the package pydantic is missing: install the extra that the command's --help names\n",
    )


@pytest.mark.parametrize("command", ["classify", "tag", "serve"])
def test_help_shows_examples(motives: Motives, command: str) -> None:
    shown = motives(command, "--help").out
    assert f"Examples:\n    motives {command}" in shown.replace("\n\n", "\n").replace("  Examples", "Examples")
