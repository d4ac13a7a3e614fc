"""What every reader owes: the same conversation reads the same from each format. A new row in READERS needs only its fixture."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from classifier.formats import READERS, FormatError, detect, parse_record, read
from classifier.records import Channel, Transcript

DATA = Path(__file__).parent.parent / "data" / "formats"
CHANNELS: tuple[Channel, ...] = ("prompt", "reasoning", "answer", "tool_call", "tool_result")
# Our own record takes a message list of either style and names the keys beside it as lossy.
READ_BY_OWN = {"openai", "anthropic"}


def fixture(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def texts(transcript: Transcript) -> dict[Channel, str]:
    return {channel: "".join(segment.text for _, segment in transcript.segments(channel)) for channel in CHANNELS}


@pytest.mark.parametrize("name", READERS)
def test_the_same_conversation_reads_the_same(name: str) -> None:
    expected = texts(parse_record(fixture("own"), id="x"))
    if name == "text":
        expected["prompt"] = ""  # a bare string has no place for one
    transcript = parse_record(fixture(name), id="x", format=name)
    assert texts(transcript) == expected
    assert transcript.reasoning == "present"
    assert transcript.lossy == ()
    assert all(segment.text.strip() for _, segment in transcript.segments(*CHANNELS))


@pytest.mark.parametrize("name", READERS)
def test_is_detected_by_its_own_marks(name: str) -> None:
    value = fixture(name)
    assert detect(value) == name
    assert parse_record(value, id="x") == parse_record(value, id="x", format=name)


@pytest.mark.parametrize("name", READERS)
def test_keeps_its_own_id_and_metadata(name: str) -> None:
    transcript = parse_record(fixture(name), id="default")
    assert transcript.id == ("default" if name == "text" else "fixture")
    assert transcript.metadata == ({} if name == "text" else {"model": "aster"})


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("wrong", READERS)
def test_a_wrong_format_is_refused(name: str, wrong: str) -> None:
    if wrong == name or (wrong == "own" and name in READ_BY_OWN):
        return
    with pytest.raises(FormatError) as caught:
        parse_record(fixture(name), id="x", format=wrong)
    assert caught.value.where
    assert caught.value.reason


@pytest.mark.parametrize(
    ("value", "format", "said"),
    [
        ("text", "own", "record: expected an object, found a string: name another format with --format"),
        (5, "openai", "record: expected an object, found a number: name another format with --format"),
        ({"messages": "text"}, None, "messages: expected a list, found a string: write one, or name another format with --format"),
        ({"answer": "a"}, "sharegpt", "conversations: expected a list, found null: write one, or name another format with --format"),
        ({"messages": ["text"]}, None, "messages[0]: expected an object, found a string: write one, or name another format with"),
        ({"conversations": []}, None, "conversations: holds no message: write at least one, or name another format with --format"),
        ({"answer": "a", "metadata": []}, None, "metadata: expected an object, found a list: write one, or leave it out"),
    ],
)
def test_what_is_of_another_kind_says_what_to_do(value: object, format: str | None, said: str) -> None:
    assert str(tried(value, format)).startswith(said)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [None, 5, True, 1.5, [], {}, [5], [[]], {"messages": 5}, {"conversations": None}, {"id": 1}])
def test_what_is_no_record_is_refused(name: str, value: object) -> None:
    with pytest.raises(FormatError):
        parse_record(value, id="x", format=name)
    with pytest.raises(FormatError):
        parse_record(value, id="x")


def broken(value: Any, bad: object) -> Iterator[Any]:
    """Copies of the value, each with one string or container in it replaced."""
    for key in value if isinstance(value, dict) else range(len(value)):
        copied = copy.deepcopy(value)
        copied[key] = bad
        yield copied
        if isinstance(value[key], dict | list):
            for inner in broken(value[key], bad):
                copied = copy.deepcopy(value)
                copied[key] = inner
                yield copied


def tried(value: object, format: str | None) -> Transcript | FormatError:
    try:
        return parse_record(value, id="x", format=format)
    except FormatError as error:
        return error


@pytest.mark.parametrize("name", READERS.keys() - {"text"})
@pytest.mark.parametrize("bad", [5, None, [], {}, [None], {"type": []}, [[]], "\ud800"], ids=ascii)
def test_damage_is_read_or_refused_but_never_crashes(name: str, bad: object) -> None:
    for value in broken(fixture(name), bad):
        for format in (None, *READERS):
            str(tried(value, format)).encode("utf-8")


@pytest.mark.parametrize("name", READERS)
def test_reads_its_fixture_file(name: str) -> None:
    (transcript,) = read(DATA / f"{name}.json")
    assert isinstance(transcript, Transcript)
    assert transcript.id == ("text.json" if name == "text" else "fixture")


@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_ten_thousand_messages(key: str) -> None:
    turn = {"role": "user", "content": "hi"} if key == "messages" else {"from": "human", "value": "hi"}
    assert len(parse_record({key: [turn] * 10_000}, id="x").messages) == 10_000


def test_unmarked_lists_mean_the_same_in_both_chat_styles() -> None:
    plain = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "<think>hm</think>hello"}]
    assert detect(plain) == "openai"
    assert parse_record(plain, id="x") == parse_record(plain, id="x", format="anthropic")


def test_marks_of_both_chat_styles_are_not_decided() -> None:
    mixed = [{"role": "tool", "content": "ok"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}]
    with pytest.raises(FormatError, match=r"openai \(\[0\]\.role\).*anthropic \(\[1\]\.content\[0\]\).*--format"):
        detect(mixed)
    assert parse_record(mixed, id="x", format="openai").lossy == ("thinking",)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FormatError, match=r"no reader has this name.*sharegpt") as caught:
        parse_record("text", id="x", format="csv")
    assert caught.value.value == "csv"


SECRET = "zanzibarquokka"


@pytest.mark.parametrize("name", READERS.keys() - {"text"})
def test_what_was_sent_stands_in_the_value_alone(name: str) -> None:
    for value in (*broken(fixture(name), SECRET), *broken(fixture(name), [SECRET]), *broken(fixture(name), {SECRET: SECRET}), {SECRET: 1}):
        for format in (None, *READERS):
            if isinstance(error := tried(value, format), FormatError):
                assert SECRET not in f"{error} {error.where} {error.reason}"


@pytest.mark.parametrize("name", READERS.keys() - {"text"})
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_never_come_out(name: str, number: float) -> None:
    for value in broken(fixture(name), number):
        for format in (None, name):
            if isinstance(read := tried(value, format), Transcript):
                json.dumps(read.metadata, allow_nan=False)
                assert not any(word in text for text in texts(read).values() for word in ("NaN", "Infinity"))


@pytest.mark.parametrize("name", READERS.keys() - {"text"})
def test_a_record_inside_a_string_is_not_read_as_reasoning(name: str) -> None:
    written = json.dumps(fixture(name))
    for text in (written, f"\n [{written}]", f"{written}\n{written}\n"):
        with pytest.raises(FormatError, match="is JSON kept as text"):
            parse_record(text, id="x")
        assert parse_record(text, id="x", format="text")
