from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from classifier.formats import FormatError, files, read
from classifier.records import Failure, Transcript

RECORD = {"answer": "a", "reasoning": "r"}
LINE = json.dumps(RECORD).encode()


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def failure(path: Path, format: str | None = None) -> Failure:
    (only,) = read(path, format)
    assert isinstance(only, Failure)
    return only


def ids(path: Path, format: str | None = None) -> list[str | None]:
    return [item.id for item in read(path, format) if isinstance(item, Transcript)]


def test_a_bad_line_does_not_stop_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        b"\n".join([LINE, b"", b"{bad", b"\xff\xfe", b'{"answer": 5}', b"7", b'{"id": "own", "answer": "a"}', b'"text"']),
    )
    first, *bad, own, text = read(path)
    assert [item.id for item in (first, own, text)] == ["a.jsonl:1", "own", "a.jsonl:8"]
    assert all(isinstance(item, Failure) for item in bad)
    assert [item.where for item in bad if isinstance(item, Failure)] == [
        f"{path}:line 3",
        f"{path}:line 4",
        f"{path}:line 5: answer",
        f"{path}:line 6: record",
    ]
    assert [item.id for item in bad] == [f"a.jsonl:{number}" for number in (3, 4, 5, 6)]


def test_a_failed_record_keeps_its_own_id(tmp_path: Path) -> None:
    assert failure(write(tmp_path / "a.jsonl", '{"id": "own", "answer": 5}')).id == "own"
    assert failure(write(tmp_path / "a.jsonl", '{"id": [], "answer": 5}')).id == "a.jsonl:1"


@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON", "a.json", "a.log"])
def test_a_byte_order_mark_is_accepted(tmp_path: Path, name: str) -> None:
    (transcript,) = read(write(tmp_path / name, b"\xef\xbb\xbf" + LINE + b"\r\n"))
    assert isinstance(transcript, Transcript)


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (transcript,) = read(write(tmp_path / "a.txt", b"\xef\xbb\xbfhi\r\n"))
    assert isinstance(transcript, Transcript)
    assert transcript.messages[0].segments[0].text == "hi\r\n"


@pytest.mark.parametrize("name", ["a.jsonl", "a.log"])
def test_an_over_long_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "LINE_LIMIT", len(LINE))
    monkeypatch.setattr(files, "_SKIP", 7)
    long, after = read(write(tmp_path / name, b'{"answer": "%s"}\n%s\n' % (b"a" * 1000, LINE)))
    assert isinstance(long, Failure)
    assert long.where.endswith(":line 1")
    assert "longer than" in long.reason
    assert isinstance(after, Transcript)
    assert after.id == f"{name}:2"


def test_an_over_long_last_line_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LINE_LIMIT", 100)
    assert "longer than 100 bytes" in failure(write(tmp_path / "a.jsonl", b"a" * 101)).reason


@pytest.mark.parametrize("name", ["a.json", "a.log"])
def test_a_document_is_one_record_or_many(tmp_path: Path, name: str) -> None:
    assert ids(write(tmp_path / name, json.dumps(RECORD, indent=1))) == [name]
    assert ids(write(tmp_path / name, json.dumps([{"role": "user", "content": "q"}]))) == [name]
    assert ids(write(tmp_path / name, json.dumps([{"from": "human", "value": "q"}]))) == [name]
    assert ids(write(tmp_path / name, json.dumps([RECORD, {"id": 9, **RECORD}], indent=1))) == [f"{name}:1", "9"]
    assert ids(write(tmp_path / name, json.dumps([[{"role": "user", "content": "q"}]] * 2))) == [f"{name}:1", f"{name}:2"]


def test_json_lines_may_be_named_json(tmp_path: Path) -> None:
    good, bad, other = read(write(tmp_path / "a.json", LINE + b"\n{bad\n" + LINE))
    assert isinstance(good, Transcript)
    assert isinstance(bad, Failure)
    assert bad.where.endswith("a.json:line 2")
    assert other.id == "a.json:3"


def test_answers_of_an_api_are_one_record_each(tmp_path: Path) -> None:
    answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}
    assert ids(write(tmp_path / "a.json", json.dumps([{**answer, "id": "1"}, {**answer, "id": "2"}]))) == ["1", "2"]
    assert ids(write(tmp_path / "a.json", json.dumps([{"role": "user", "content": "q"}, answer]))) == ["a.json"]


@pytest.mark.parametrize(("start", "name"), [*((start, name) for start, (name, _) in files._SIGNATURES.items())])
@pytest.mark.parametrize("file", ["a.jsonl", "a.json", "a.txt", "a"])
def test_other_kinds_of_file_are_named(tmp_path: Path, file: str, start: bytes, name: str) -> None:
    assert failure(write(tmp_path / file, start + b"\x00\n" * 9)).reason.startswith(f"is {name}: ")


def test_a_table_is_no_reasoning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,prompt\n1,I comply.\n")
    assert "--format text" in failure(path).reason
    assert ids(path, "text") == ["a.csv"]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        pool.submit((tmp_path / "pipe").write_bytes, LINE + b"\n" + LINE)
        assert ids(tmp_path / "pipe") == ["pipe:1", "pipe:2"]


def test_an_open_file_is_told_by_its_content() -> None:
    one, two = read(BytesIO(LINE + b"\n" + LINE))
    assert [one.id, two.id] == ["input:1", "input:2"]
    (only,) = read(BytesIO(b"I comply."))
    assert isinstance(only, Transcript)


def test_places_in_a_line_and_in_a_document(tmp_path: Path) -> None:
    assert "at column 14)" in failure(write(tmp_path / "a.jsonl", '{"answer": 5,}')).reason
    assert "at line 2, column 1)" in failure(write(tmp_path / "a.json", '{"answer": 5,\n}')).reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"broken": \n', "(ends in the middle of a value at column 11)"),
        ('{"broken": \r\n\r\n', "(ends in the middle of a value at column 11)"),
        ('{"broken"', "(ends in the middle of a value at column 10)"),
        ('{"broken": 1,\n', "(ends in the middle of a value at column 14)"),
        ('{"broken": [{"é": "🙂"}', "(ends in the middle of a value at column 23)"),
        ('{"broken": fals\n', "(ends in the middle of a value at column 12)"),
        ('{"broken": -', "(ends in the middle of a value at column 12)"),
        ('{"broken": "tr\n', "(ends in the middle of a string that starts at column 12)"),
        ('{"broken": tru}', "(Expecting value at column 12)"),
        ('{"broken": 1} t', "(Extra data at column 15)"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.log"])
def test_what_was_cut_short_says_so(tmp_path: Path, name: str, content: str, said: str) -> None:
    assert said in failure(write(tmp_path / name, content)).reason


def test_a_document_cut_short_names_its_last_line(tmp_path: Path) -> None:
    assert "a value at line 2, column 8)" in failure(write(tmp_path / "a.json", '{\n "a": 1\n\n')).reason


def test_a_bad_item_names_its_place(tmp_path: Path) -> None:
    _, bad = read(write(tmp_path / "a.json", json.dumps([RECORD, {"answer": 5}])))
    assert isinstance(bad, Failure)
    assert bad.where.endswith("a.json:item 2: answer")


def test_an_unknown_extension_is_told_by_content(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "a.log", b"\n" + LINE + b"\n\n" + LINE)) == ["a.log:2", "a.log:4"]
    assert ids(write(tmp_path / "a.log", "I comply. {}")) == ["a.log"]
    assert ids(write(tmp_path / "noextension", "I comply.")) == ["noextension"]


@pytest.mark.parametrize("content", ["[note] I comply.", "{I} comply\nor not", '{"answer": "a"', "[1] first\n[2] second", "[1]\nprose"])
def test_what_only_starts_like_json_is_never_guessed(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.log", content)
    found = list(read(path))
    assert found
    assert all(isinstance(item, Failure) and "--format" in item.reason for item in found)
    (transcript,) = read(path, "text")
    assert isinstance(transcript, Transcript)
    assert transcript.messages[0].segments[0].text == content


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_text_extension_means_text(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, LINE)
    assert "JSON kept as text" in failure(path).reason  # else its prompts would pass for reasoning
    (transcript,) = read(path, "text")
    assert isinstance(transcript, Transcript)
    assert transcript.reasoning == "assumed"
    (named,) = read(path, "own")
    assert isinstance(named, Transcript)
    assert named.reasoning == "present"


def test_a_named_format_that_does_not_fit_is_a_failure(tmp_path: Path) -> None:
    assert failure(write(tmp_path / "a.json", LINE), "sharegpt").where.endswith("a.json: conversations")
    found = failure(write(tmp_path / "a.log", "plain"), "openai").reason
    assert (
        found == "expected an object, found a string: name another format with --format ('format'), or leave that out to have it detected"
    )


HEADS = [b"# exported today\n", b'"a note"\n', b"null\n", b"\xef\xbb\xbf" * 2 + b"\n", b"\0\n", b"I comply.\n\n"]
UNKNOWN = b'{"prompt": "p", "completion": "c"}'  # of no format that is known


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "line", [LINE, UNKNOWN, b"[" + UNKNOWN + b"]", b'[{"role": "user", "content": "q"}]', b"[" + LINE + b"]", b"\x1e" + LINE]
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_json_lines_after_something_else_are_no_text(tmp_path: Path, head: bytes, line: bytes, end: bytes) -> None:
    content = (head + b"\n".join([line] * 3)).replace(b"\n", end)
    for source in (
        write(tmp_path / "a.txt", content),
        write(tmp_path / "a", content),
        write(tmp_path / "a.log", content),
        BytesIO(content),
    ):
        (refused,) = read(source)
        assert isinstance(refused, Failure)
        assert ": line " in refused.where
        assert "save it as .jsonl" in refused.reason
        assert "--format text" in refused.reason
    assert ids(tmp_path / "a.txt", "text") == ["a.txt"]


def test_the_line_is_named(tmp_path: Path) -> None:
    told = failure(write(tmp_path / "a.txt", b"\xef\xbb\xbf# note\r\n\r\nprose\r\n" + LINE))
    assert (told.where, told.reason.split(":")[0]) == (f"{tmp_path / 'a.txt'}: line 4 of the text", "is a record by itself")
    told = failure(write(tmp_path / "a.txt", b'# note\n{"a": 1}\nprose\n\n  {"b": {}} \n'))
    assert (told.where, told.reason.split(":")[0]) == (
        f"{tmp_path / 'a.txt'}: line 2 of the text",
        "is a JSON object by itself, as many lines are",
    )


def test_strings_through_a_pipe_are_not_one_text(tmp_path: Path) -> None:
    content = b"\n".join([b'"I comply."'] * 300)
    (refused,) = read(BytesIO(content))
    assert isinstance(refused, Failure)
    assert refused.reason.startswith("each of its lines is a JSON string by itself: ")
    assert len(ids(write(tmp_path / "a.jsonl", content))) == 300


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.log"])
@pytest.mark.parametrize("content", [b"", b" \r\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_one_failure(tmp_path: Path, name: str, content: bytes) -> None:
    assert "empty" in failure(write(tmp_path / name, content)).reason


def test_an_empty_list_is_one_failure(tmp_path: Path) -> None:
    assert failure(write(tmp_path / "a.json", "[]")).reason.startswith("holds no record")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.log"])
def test_invalid_utf8_is_a_failure(tmp_path: Path, name: str) -> None:
    assert failure(write(tmp_path / name, b'{"answer": "\xff"}')).reason == "not UTF-8 (byte 12): save it as UTF-8"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.log"])
@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000, '{"id": %s}' % ("9" * 5000)])
def test_hostile_json_is_a_failure(tmp_path: Path, name: str, content: str) -> None:
    assert failure(write(tmp_path / name, content)).reason


def test_lone_surrogates_and_nul(tmp_path: Path) -> None:
    bad, good = read(write(tmp_path / "a.jsonl", '{"answer": "\\ud800"}\n{"answer": "\\u0000\\ud83d\\ude00"}'))
    assert isinstance(bad, Failure)
    assert bad.where.endswith("line 1: answer")
    assert isinstance(good, Transcript)
    assert good.messages[0].segments[0].text == "\0\N{GRINNING FACE}"


def test_a_name_that_is_no_utf8_stays_writable(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    try:
        write(path, "hi")
    except OSError:
        pytest.skip("the file system takes only UTF-8 names")
    assert ids(path) == ["\\udcff.txt"]


def test_what_the_caller_got_wrong_raises(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no reader has this name"):
        read(tmp_path / "a.jsonl", "csv")
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "missing.jsonl"))


def test_format_error_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(FormatError("messages[3]", "is odd", "x")))  # noqa: S301  (our own bytes)
    assert (str(error), error.where, error.reason, error.value) == ("messages[3]: is odd", "messages[3]", "is odd", "x")
