"""What every reader owes those who show evidence: an exact address, message and field, of the string in which its offsets count."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.formats import READERS, parse_record
from classifier.records import Transcript
from classifier.windows import cut
from tests.conftest import ROOT
from tests.contracts.test_formats import CHANNELS, fixture


def documented() -> Callable[[Any, int | None, str], str]:
    """The function that docs/wire.md gives those who look for an evidence's string."""
    (code,) = re.findall(r"```python\n(def received.*?)```", (ROOT / "docs" / "wire.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"json": json, "re": re}
    exec(code, names)  # noqa: S102  (our own)
    found: Callable[[Any, int | None, str], str] = names["received"]
    return found


received = documented()


def by_code_point(text: str) -> tuple[range, list[tuple[int, int]]]:
    return range(len(text)), [(i, i + 1) for i in range(len(text))]


def assert_located(value: Any, transcript: Transcript) -> None:
    """Every segment, and every sentence of it that may become evidence, stands in the string that it names."""
    for message, segment in transcript.segments(*CHANNELS):
        end = segment.start + len(segment.text)
        assert received(value, message.index, segment.field)[segment.start : end] == segment.text, segment
    units = cut(transcript, CHANNELS, by_code_point, -1).units
    assert units or not list(transcript.segments(*CHANNELS))
    for found in (unit.evidence for unit in units):
        assert received(value, found.message, found.field)[found.start : found.end] == found.text, found


@pytest.mark.parametrize("name", READERS)
def test_offsets_are_exact(name: str) -> None:
    assert_located(fixture(name), parse_record(fixture(name), id="x"))


# Whatever has more than one string in one place, or a value where a string could be: format, record, fields in reading order.
SAID = "<think>再考える 👩‍🚀. I comply.</think>好的 🙂. Done."
MIXED: list[tuple[str, Any, str]] = [
    (
        "openai",
        [
            {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "text", "text": "👩‍🚀 q"}]},
            {
                "role": "assistant",
                "content": SAID,
                "reasoning_content": "我想. I see 🧠.",
                "reasoning": "Something else. 別の",
                "refusal": "No. 不",
                "function_call": {"name": "ls 🙂", "arguments": '{"a": "é"}'},
                "tool_calls": [
                    {"function": {"name": "rm", "arguments": '{"path": "/ 🙂"}'}},
                    {"function": {"name": "rm", "arguments": {"é": [1.0, '好 \\ "x" 🙂. Then.'], "b": None}}},
                ],
            },
        ],
        (
            "content[0].text content[1].text reasoning_content reasoning content content refusal function_call.name "
            "function_call.arguments tool_calls[0].function.name tool_calls[0].function.arguments "
            "tool_calls[1].function.name tool_calls[1].function.arguments:json"
        ),
    ),
    (
        "openai",
        {
            "output": [
                {"type": "reasoning", "summary": [{"text": "第一. One 🙂."}, {"text": "Two."}]},
                {"type": "function_call", "name": "f", "arguments": {"a": "🙂"}},
                {"type": "function_call_output", "output": "結果 🙂"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "reasoning", "summary": [{"text": "z"}]}, {"type": "text", "text": SAID}],
                },
            ],
            "messages": [{"role": "user", "content": "q"}],
            "choices": [{"message": {"role": "assistant", "content": SAID}}],
        },
        (
            "content content content summary[0].text summary[1].text name arguments:json output content[0].summary[0].text "
            "content[1].text content[1].text"
        ),
    ),
    (
        "anthropic",
        {
            "system": [{"type": "text", "text": "s"}, {"type": "text", "text": "你 🌟"}],
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "想 🧠. I comply."},
                        {"type": "text", "text": SAID},
                        {"type": "tool_use", "name": "f 🙂", "input": {"é": {"好": ["🙂", 1e30, True]}, "": "x. Y."}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "content": "果 🙂"},
                        {"type": "tool_result", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "🙂 b"}]},
                    ],
                },
            ],
        },
        (
            "system[0].text system[1].text content[0].thinking content[1].text content[1].text content[2].name "
            "content[2].input:json content[0].content content[1].content[0].text content[1].content[1].text"
        ),
    ),
    ("anthropic", {"type": "message", "role": "assistant", "content": SAID}, "content content"),
    ("own", {"system_prompt": "🌟", "user": "q", "answer": SAID}, "system_prompt user answer answer"),
    (
        "own",
        {"id": "1", "messages": [{"role": "user", "content": "🙂 q"}, {"role": "assistant", "content": SAID}]},
        "content content content",
    ),
    ("sharegpt", [{"from": "human", "value": "🙂 q"}, {"from": "gpt", "value": SAID}], "value value value"),
    ("sharegpt", {"system": "🌟", "conversations": [{"from": "gpt", "value": SAID}]}, "system value value"),
    ("text", f"🌟 {SAID}", "  "),
]


@pytest.mark.parametrize(("name", "value", "fields"), MIXED)
def test_message_and_field_name_one_string(name: str, value: Any, fields: str) -> None:
    transcript = parse_record(value, id="x", format=name)
    assert " ".join(segment.field for _, segment in transcript.segments(*CHANNELS)) == fields
    assert_located(value, transcript)


def test_every_format_is_among_the_mixed_records() -> None:
    assert {name for name, _, _ in MIXED} == set(READERS)


TEXTS = st.text(st.one_of(st.sampled_from('🧠👩‍🚀所以。{}":\\\n. aé<>'), st.characters(exclude_categories=["Cs"])), max_size=20)
SPOKEN = st.lists(TEXTS | st.sampled_from(["<think>", "</think>", "I comply. "]), max_size=5).map("".join)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS, st.lists)
KEPT = {"id", "role", "type", "from", "metadata"}


def refilled(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """The record with other texts and tool inputs in it."""
    if isinstance(value, str):
        return draw(SPOKEN)
    if isinstance(value, list):
        return [refilled(item, draw) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: item if key in KEPT else refilled(item, draw) for key, item in value.items()}
    inputs = {key for key, item in value.items() if key in {"input", "arguments"} and isinstance(item, dict)}
    return found | {key: draw(st.dictionaries(TEXTS, VALUES, max_size=3)) for key in inputs}


@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize(("name", "value"), [*((name, value) for name, value, _ in MIXED), *((name, fixture(name)) for name in READERS)])
@given(data=st.data())
def test_any_text_is_found_where_its_evidence_says(name: str, value: Any, data: st.DataObject) -> None:
    sent = refilled(value, data.draw)
    assert_located(sent, parse_record(sent, id="x", format=name))
