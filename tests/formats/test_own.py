from __future__ import annotations

import pytest

from classifier.formats import FormatError, detect, parse_record
from classifier.records import Message, Segment


def test_flat_fields() -> None:
    transcript = parse_record({"id": 7, "system_prompt": "s", "user": "u", "reasoning": "r", "answer": "a"}, id="x")
    assert transcript.id == "7"
    assert transcript.messages == (
        Message("system", (Segment("prompt", "s", field="system_prompt"),)),
        Message("user", (Segment("prompt", "u", field="user"),)),
        Message("assistant", (Segment("reasoning", "r", field="reasoning"), Segment("answer", "a", field="answer"))),
    )


def test_every_field_may_be_null() -> None:
    empty = parse_record({"id": None, "system_prompt": None, "user": None, "reasoning": None, "answer": None, "metadata": None}, id="x")
    assert (empty.id, empty.messages, empty.reasoning) == ("x", (), "absent")


def test_a_reasoning_field_is_kept_whole_with_its_tags() -> None:
    transcript = parse_record({"reasoning": "<think>r</think>s", "answer": "use <think> here"}, id="x")
    assert [(s.channel, s.text) for s in transcript.messages[0].segments] == [
        ("reasoning", "<think>r</think>s"),
        ("answer", "use <think> here"),
    ]


@pytest.mark.parametrize("reasoning", [None, "", " "])
def test_an_answer_without_a_reasoning_field_is_split(reasoning: str | None) -> None:
    transcript = parse_record({"reasoning": reasoning, "answer": "<think>r</think>a"}, id="x")
    assert transcript.reasoning == "present"
    assert transcript.messages[0].segments == (Segment("reasoning", "r", 7, field="answer"), Segment("answer", "a", 16, field="answer"))


def test_a_prompt_is_never_split() -> None:
    transcript = parse_record({"user": "think first\n<think>\n", "answer": "a"}, id="x")
    assert transcript.reasoning == "absent"


def test_labelled_keys_are_known_and_others_are_lossy() -> None:
    labelled = {
        "answer": "a",
        "spans": [{}],
        "labels": ["x"],
        "primary": "none",
        "outcome": "compliance",
        "pair_id": "p",
        "votes": {"n": 2},
    }
    assert parse_record(labelled, id="x").lossy == ()
    assert parse_record({"answer": "a", "excerpt": False, "note": "n", "blank": None}, id="x").lossy == ("excerpt", "note")


@pytest.mark.parametrize("extra", [{"choices": ["A", "B"]}, {"output": "o"}, {"role": "tutor"}, {"system": "s"}])
def test_another_formats_word_is_only_an_unknown_key(extra: dict[str, object]) -> None:
    record = {"id": "1", "user": "u", "reasoning": "r", "answer": "a", **extra}
    assert detect(record) == "own"
    assert parse_record(record, id="x").lossy == tuple(extra)


def test_messages_of_both_styles_stand_side_by_side() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "r"}, {"type": "text", "text": "a"}]},
        {"role": "tool", "content": "t"},
    ]
    record = {"id": "1", "messages": messages, "reasoning": None}
    assert detect(record) == "own"
    transcript = parse_record(record, id="x")
    assert [message.index for message in transcript.messages] == [0, 1, 2]
    assert transcript.messages[1].segments == (
        Segment("reasoning", "r", 0, 0, "content[0].thinking"),
        Segment("answer", "a", 0, 1, "content[1].text"),
    )
    assert transcript.messages[2].segments[0].channel == "tool_result"


def test_one_message_of_both_styles_is_refused() -> None:
    message = {"role": "assistant", "reasoning_content": "r", "content": [{"type": "thinking", "thinking": "r"}]}
    with pytest.raises(FormatError, match=r"^messages\[0\]\.reasoning_content: bears marks of openai .* and anthropic"):
        parse_record({"id": "1", "messages": [message]}, id="x")


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"answer": ["a"]}, "answer"),
        ({"answer": "\udc00"}, "answer"),
        ({"user": 5, "answer": "a"}, "user"),
        ({"id": [], "answer": "a"}, "id"),
        ({"id": True, "answer": "a"}, "id"),
        ({"id": "\ud800", "answer": "a"}, "id"),
        ({"answer": "a", "metadata": []}, "metadata"),
        ({"answer": "a", "metadata": {"x": ["\ud800"]}}, "metadata"),
        ({"answer": "a", "metadata": {"x": object()}}, "metadata"),
        ({"answer": "a", "metadata": {"custom_id": 1.5}}, "metadata.custom_id"),
        ({"id": "1", "messages": [], "answer": "a"}, "answer"),
        ({"messages": [{"role": "user", "content": "hi"}], "reasoning": "r"}, "reasoning"),
        ({"id": "1", "messages": []}, "messages"),
        ({"id": "1", "messages": {}}, "messages"),
        ({"id": "1", "messages": [{"role": "user", "content": "hi"}, 5]}, "messages[1]"),
    ],
)
def test_errors_name_their_place(record: dict[str, object], where: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_record(record, id="x")
    assert caught.value.where == where


def test_deeply_nested_metadata_is_refused() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(FormatError, match="metadata: nested too deeply"):
        parse_record({"answer": "a", "metadata": deep}, id="x")


@pytest.mark.parametrize(
    ("record", "id"),
    [
        ({"answer": "a"}, "x"),
        ({"id": " ", "answer": "a"}, "x"),
        ({"id": 0, "answer": "a"}, "0"),
        ({"answer": "a", "metadata": {"transcript_id": "t"}}, "t"),
        ({"answer": "a", "metadata": {"custom_id": 3}}, "3"),
        ({"id": "own", "answer": "a", "metadata": {"transcript_id": "t"}}, "own"),
    ],
)
def test_ids(record: dict[str, object], id: str) -> None:
    assert parse_record(record, id="x").id == id


def test_summaries_are_named_by_metadata() -> None:
    assert parse_record({"reasoning": "r", "metadata": {"reasoning": "summarised"}}, id="x").reasoning == "summarised"
    assert parse_record({"answer": "a", "metadata": {"reasoning": "summarised"}}, id="x").reasoning == "absent"


def test_lossy_names_are_short_and_writable() -> None:
    (name,) = parse_record({"answer": "a", "\ud800" + "k" * 1000: 1}, id="x").lossy
    assert name.encode("utf-8").startswith(b"\\ud800k")
    assert len(name) == 80
