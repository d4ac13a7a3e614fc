from __future__ import annotations

import pytest

from classifier.formats import FormatError, detect, parse_record
from classifier.records import Message, Presence, Segment, Transcript


def answered(*blocks: object) -> Transcript:
    return parse_record([{"role": "user", "content": "q"}, {"role": "assistant", "content": list(blocks)}], id="x", format="anthropic")


@pytest.mark.parametrize("system", ["s", [{"type": "text", "text": "s"}]])
def test_system_stands_before_the_messages(system: object) -> None:
    record = {"system": system, "messages": [{"role": "user", "content": "q"}]}
    assert detect(record) == "anthropic"
    first, second = parse_record(record, id="x").messages
    assert (first.role, first.index, first.segments[0].text) == ("system", None, "s")
    assert second == Message("user", (Segment("prompt", "q", field="content"),), 0)


def test_a_single_response() -> None:
    content = [{"type": "thinking", "thinking": "r", "signature": "s"}, {"type": "text", "text": "a"}]
    record = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "end_turn",
        "usage": {"n": 1},
    }
    assert detect(record) == "anthropic"
    transcript = parse_record(record, id="x")
    assert (transcript.id, transcript.lossy, transcript.reasoning) == ("msg_1", (), "present")
    thought, said = Segment("reasoning", "r", 0, 0, "content[0].thinking"), Segment("answer", "a", 0, 1, "content[1].text")
    assert transcript.messages == (Message("assistant", (thought, said)),)


def test_assistant_text_is_split_and_user_text_is_not() -> None:
    (_, message) = answered({"type": "text", "text": "<SCRATCHPAD_REASONING>r</SCRATCHPAD_REASONING>a"}).messages
    assert message.segments == (
        Segment("reasoning", "r", 22, 0, "content[0].text"),
        Segment("answer", "a", 46, 0, "content[0].text"),
    )
    asked = parse_record([{"role": "user", "content": [{"type": "text", "text": "<think>r"}]}], id="x", format="anthropic")
    assert asked.messages[0].segments == (Segment("prompt", "<think>r", 0, 0, "content[0].text"),)


def test_tools() -> None:
    use = {"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1, "é"]}}
    assert answered(use).messages[1].segments == (
        Segment("tool_call", "f", 0, 0, "content[0].name"),
        Segment("tool_call", '{"a":[1,"é"]}', 0, 0, "content[0].input:json"),
    )
    blocks = [
        {"type": "tool_result", "tool_use_id": "1", "content": "t"},
        {
            "type": "tool_result",
            "tool_use_id": "2",
            "content": [{"type": "text", "text": "u"}, {"type": "image"}, {"type": "text", "text": "v"}],
        },
        {"type": "tool_result", "tool_use_id": "3"},
    ]
    transcript = parse_record([{"role": "user", "content": blocks}], id="x")
    assert [(s.channel, s.text, s.block) for s in transcript.messages[0].segments] == [
        ("tool_result", "t", 0),
        ("tool_result", "u", 1),
        ("tool_result", "v", 1),
    ]
    assert transcript.lossy == ("image",)


@pytest.mark.parametrize(
    ("blocks", "presence"),
    [
        ([{"type": "thinking", "thinking": "r"}], "present"),
        ([{"type": "redacted_thinking", "data": "x"}], "redacted"),
        ([{"type": "thinking", "thinking": "", "signature": "s"}], "redacted"),
        ([{"type": "thinking", "thinking": " "}], "absent"),
        ([{"type": "redacted_thinking", "data": "x"}, {"type": "thinking", "thinking": "r"}], "present"),
        ([{"type": "text", "text": "a"}], "absent"),
    ],
)
def test_presence(blocks: list[object], presence: Presence) -> None:
    assert answered(*blocks).reasoning == presence


@pytest.mark.parametrize(
    ("block", "where"),
    [
        (5, "[1].content[0]"),
        ({}, "[1].content[0].type"),
        ({"type": "text"}, "[1].content[0].text"),
        ({"type": "thinking", "thinking": None}, "[1].content[0].thinking"),
        ({"type": "tool_use", "name": 5}, "[1].content[0].name"),
        ({"type": "tool_use", "name": "f", "input": {"a": "\ud800"}}, "[1].content[0].input"),
        ({"type": "tool_result", "content": 5}, "[1].content[0].content"),
        ({"type": "tool_result", "content": [{"type": "text", "text": 5}]}, "[1].content[0].content[0].text"),
    ],
)
def test_errors_name_their_place(block: object, where: str) -> None:
    with pytest.raises(FormatError) as caught:
        answered(block)
    assert caught.value.where == where


def test_deeply_nested_input_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(FormatError, match=r"content\[0\]\.input: nested too deeply"):
        answered({"type": "tool_use", "name": "f", "input": deep})


def test_other_errors() -> None:
    with pytest.raises(FormatError, match=r"^messages\[0\]\.role: not known: expected one of user"):
        parse_record({"system": "s", "messages": [{"role": "tool", "content": "t"}]}, id="x", format="anthropic")
    with pytest.raises(FormatError, match=r"^\[0\]\.tool_calls: is written in the openai format"):
        parse_record([{"role": "assistant", "tool_calls": []}], id="x", format="anthropic")
