from __future__ import annotations

import pytest

from classifier.formats import FormatError, detect, parse_record
from classifier.records import Segment


def test_speakers() -> None:
    turns = [{"from": name, "value": "v"} for name in ("system", "human", "gpt", "function_call", "observation")]
    assert detect(turns) == "sharegpt"
    transcript = parse_record(turns, id="x")
    assert [message.role for message in transcript.messages] == ["system", "user", "assistant", "assistant", "tool"]
    assert [segment.channel for message in transcript.messages for segment in message.segments] == [
        "prompt",
        "prompt",
        "answer",
        "tool_call",
        "tool_result",
    ]


def test_inline_markup() -> None:
    transcript = parse_record({"conversations": [{"from": "gpt", "value": "<think>r</think>a"}]}, id="x")
    assert transcript.messages[0].segments == (Segment("reasoning", "r", 7, field="value"), Segment("answer", "a", 16, field="value"))


def test_keys_beside_the_conversation() -> None:
    record = {"id": "1", "system": "s", "tools": "[{}]", "conversations": [{"from": "gpt", "value": "a", "weight": 0, "image": "i"}]}
    transcript = parse_record(record, id="x")
    assert transcript.messages[0].segments == (Segment("prompt", "s", field="system"),)
    assert transcript.lossy == ("tools", "image")


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"conversations": {}}, "conversations"),
        ({"conversations": []}, "conversations"),
        ({"conversations": [5]}, "conversations[0]"),
        ({"conversations": [{"from": "nobody", "value": "v"}]}, "conversations[0].from"),
        ({"conversations": [{"from": "gpt", "value": None}]}, "conversations[0].value"),
        ([{"from": "gpt", "value": "\udfff"}], "[0].value"),
    ],
)
def test_errors_name_their_place(record: object, where: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_record(record, id="x")
    assert caught.value.where == where


def test_two_message_lists_are_not_decided() -> None:
    record = {"conversations": [{"from": "gpt", "value": "a"}], "messages": [{"role": "user", "content": "q"}]}
    with pytest.raises(FormatError, match="may be openai or sharegpt"):
        detect(record)
