from __future__ import annotations

import time

import pytest

from classifier.formats import FormatError, detect, parse_record
from classifier.records import Segment


def test_text_without_a_mark_is_assumed_to_be_reasoning() -> None:
    transcript = parse_record(" I comply.\n", id="x")
    assert transcript.reasoning == "assumed"
    assert transcript.messages[0].segments == (Segment("reasoning", " I comply.\n"),)
    assert transcript.messages[0].index is None


def test_text_with_marks_is_present() -> None:
    transcript = parse_record("hm</think>yes", id="x")
    assert transcript.reasoning == "present"
    assert [(segment.channel, segment.start) for segment in transcript.messages[0].segments] == [("reasoning", 0), ("answer", 10)]


@pytest.mark.parametrize("text", ["", " \n", "<think></think>yes"])
def test_blank_reasoning_is_absent(text: str) -> None:
    assert parse_record(text, id="x").reasoning == "absent"


@pytest.mark.parametrize(
    "text",
    [
        'First I look.\n{"command": "ls"}\nThen I comply.',
        'First I look.\n{"command": "ls"}\nNothing there, so up.\n{"command": "cd .."}\nThen I comply.',
        'They ask for JSON. I comply.\n{"answer": "42"}',
        '<think>\n  {"command": "ls"}\n</think>\n{"answer": 5',
        'I call it:\n{\n  "answer": "a",\n  "list": [\n    {"a": 1}\n  ]\n}',
        'I say {"reasoning": "r", "answer": "a"} here,\nand {"answer": "a"}.',
        '{}\n{}\n[{}]\n[1]\n"quoted"',
        '"Will you comply?"\n"Yes," I say.',
        '"A quote and nothing else."',
        "{I} think\n[so]\n",
    ],
)
def test_prose_that_quotes_json_stays_a_text(text: str) -> None:
    assert detect(text) == "text"
    assert "".join(segment.text for _, segment in parse_record(text, id="x").segments("reasoning", "answer"))


@pytest.mark.parametrize(
    "unit", ['{"}\n', '{"a":}\n', '[{"\n', "\n", " \n", '""\n', '{"a":' * 1000 + "}\n", '{"' + "} " * 1000 + "x\n", "[", " ", "}", '{"}\r']
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "x\n" + unit * (size // len(unit)) + "x"
        started = time.process_time()
        assert detect(text) == "text"
        return time.process_time() - started

    assert min(seconds(400_000) for _ in range(2)) < 2  # quadratic time would be minutes


def test_nul_is_an_ordinary_character() -> None:
    assert parse_record("a\0b", id="x").messages[0].segments[0].text == "a\0b"


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(FormatError, match="record: holds a lone surrogate at character 2"):
        parse_record("ab\ud800", id="x")
