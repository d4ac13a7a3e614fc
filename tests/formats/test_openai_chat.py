from __future__ import annotations

from typing import Any

import pytest

from classifier.formats import FormatError, detect, parse_record
from classifier.records import Message, Segment


def assistant(**fields: object) -> Message:
    return parse_record([{"role": "assistant", **fields}], id="x", format="openai").messages[0]


def test_roles_and_indices() -> None:
    roles = ["system", "developer", "user", "assistant", "tool"]
    transcript = parse_record({"messages": [{"role": role, "content": "c"} for role in roles]}, id="x")
    assert [(message.role, message.index) for message in transcript.messages] == [(role, index) for index, role in enumerate(roles)]
    assert [segment.channel for message in transcript.messages for segment in message.segments] == [
        *["prompt"] * 3,
        "answer",
        "tool_result",
    ]
    assert transcript.reasoning == "absent"


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_fields(key: str) -> None:
    assert assistant(content="a", **{key: "r"}).segments == (Segment("reasoning", "r", field=key), Segment("answer", "a", field="content"))


def test_the_same_reasoning_under_both_names_is_heard_once() -> None:
    heard = assistant(content="a", reasoning="r", reasoning_content="r").segments
    assert [(segment.text, segment.field) for segment in heard] == [("r", "reasoning_content"), ("a", "content")]
    assert [segment.text for segment in assistant(content="", reasoning="r", reasoning_content="q").segments] == ["q", "r"]


def test_inline_markup_in_strings_and_parts() -> None:
    said = (Segment("reasoning", "r", 7, field="content"), Segment("answer", "a", 16, field="content"))
    assert assistant(content="<think>r</think>a").segments == said
    parts = [{"type": "text", "text": "r</think>a"}]
    said = (Segment("reasoning", "r", 0, 0, "content[0].text"), Segment("answer", "a", 9, 0, "content[0].text"))
    assert assistant(content=parts).segments == said


def test_tool_calls_make_name_and_arguments() -> None:
    calls = [
        {"type": "function", "function": {"name": "rm", "arguments": '{"path": "/"}'}},
        {"function": {"name": "ls", "arguments": {"a": "é"}}},
    ]
    message = assistant(content=None, tool_calls=calls)
    assert [segment.text for segment in message.segments] == ["rm", '{"path": "/"}', "ls", '{"a":"é"}']
    assert {segment.channel for segment in message.segments} == {"tool_call"}
    assert assistant(function_call={"name": "f", "arguments": "{}"}).segments[0].text == "f"


def test_refusals_are_answers() -> None:
    assert assistant(content=None, refusal="no").segments == (Segment("answer", "no", field="refusal"),)
    assert assistant(content=[{"type": "refusal", "refusal": "no"}]).segments == (Segment("answer", "no", 0, 0, "content[0].refusal"),)


def test_what_is_no_text_is_lossy() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "input_audio"},
        {"type": "image_url"},
        {"type": "text", "text": "hi"},
    ]
    transcript = parse_record({"messages": [{"role": "user", "content": parts}], "tools": [{"type": "function"}], "stop": []}, id="x")
    assert transcript.lossy == ("image_url", "input_audio", "tools")
    assert transcript.messages[0].segments == (Segment("prompt", "hi", 0, 3, "content[3].text"),)
    answered = [{"role": "assistant", "content": "a", "audio": {"id": "1"}, "annotations": []}]
    assert parse_record(answered, id="x").lossy == ("audio",)


def test_completions_follow_their_request() -> None:
    choices = [{"message": {"role": "assistant", "content": "a"}}, {"message": {"role": "assistant", "content": "b"}}]
    record: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "choices": choices}
    transcript = parse_record(record, id="x")
    assert (transcript.id, transcript.lossy, transcript.messages[0].index) == ("chatcmpl-1", ("choices[1:]",), 0)
    both = parse_record({**record, "messages": [{"role": "user", "content": "q"}]}, id="x")
    assert [(message.role, message.index) for message in both.messages] == [("user", 0), ("assistant", 1)]


def test_responses_output() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}, {"type": "summary_text", "text": "s"}]},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "done"},
        {"type": "web_search_call"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
    ]
    record = {"id": "resp_1", "object": "response", "output": output}
    assert detect(record) == "openai"
    transcript = parse_record(record, id="x")
    assert (transcript.reasoning, transcript.lossy) == ("summarised", ("web_search_call",))
    assert transcript.messages[0].segments == (
        Segment("reasoning", "r", 0, 0, "summary[0].text"),
        Segment("reasoning", "s", 0, 1, "summary[1].text"),
    )
    assert [message.index for message in transcript.messages] == [0, 1, 2, 3, 4]


def test_reasoning_items_inside_content() -> None:
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "r"}]}
    whole = {"type": "reasoning", "summary": [{"text": "s"}], "content": [{"type": "reasoning_text", "text": "r"}]}
    hidden = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    found = [parse_record([{"role": "assistant", "content": [item]}], id="x").reasoning for item in (summary, whole, hidden)]
    assert found == ["summarised", "present", "redacted"]


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ([{"role": "user", "content": "a"}, 5], "[1]"),
        ([{"role": "critic", "content": "a"}], "[0].role"),
        ([{"role": None, "content": "a"}], "[0].role"),
        ([{"role": [], "content": "a"}], "[0].role"),
        ([{"role": "user"}], "[0].content"),
        ([{"role": "user", "content": None}], "[0].content"),
        ([{"role": "assistant"}], "[0].content"),
        ([{"role": "assistant", "content": {}}], "[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": [], "text": "a"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}]}, "messages[0].content[0].text"),
        ([{"role": "assistant", "content": "a", "reasoning": {}}], "[0].reasoning"),
        ([{"role": "assistant", "content": "a", "tool_calls": {}}], "[0].tool_calls"),
        ([{"role": "assistant", "content": "a", "tool_calls": [{}]}], "[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": 5}}]}], "[0].tool_calls[0].function.name"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}], "[0].tool_calls[0].function.arguments"),
        ({"choices": [{"message": None}]}, "choices[0].message"),
        ({"messages": 5}, "messages"),
        ({"messages": []}, "record"),
    ],
)
def test_errors_name_their_place(record: object, where: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_record(record, id="x")
    assert caught.value.where == where


def test_an_empty_answer_is_no_error() -> None:
    assert assistant(content=None).segments == ()
