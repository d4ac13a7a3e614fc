from __future__ import annotations

import pytest

from classifier.formats import FormatError, parse_record
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


def test_nul_is_an_ordinary_character() -> None:
    assert parse_record("a\0b", id="x").messages[0].segments[0].text == "a\0b"


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(FormatError, match="record: holds a lone surrogate at character 2"):
        parse_record("ab\ud800", id="x")
