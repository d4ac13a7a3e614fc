from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.formats.markup import has_marks, split

TAGS = ["think", "thinking", "scratchpad", "SCRATCHPAD_REASONING", "reasoning", "Think"]
PIECES = st.sampled_from([*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), "<", "think>", " ", "\n"]) | st.text(max_size=5)


def pairs(received: str) -> list[tuple[str, str]]:
    return [(segment.channel, segment.text) for segment in split(received)]


@pytest.mark.parametrize("tag", TAGS)
def test_each_tag_marks_reasoning(tag: str) -> None:
    assert pairs(f"<{tag}>a</{tag.upper()}>b") == [("reasoning", "a"), ("answer", "b")]


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("plain", [("answer", "plain")]),
        ("", []),
        (" \n", []),
        ("<think></think>b", [("answer", "b")]),
        ("<think> \n </think>\n", []),
        ("<think>a</think>b<think>c</think>d", [("reasoning", "a"), ("answer", "b"), ("reasoning", "c"), ("answer", "d")]),
        ("b<think>a", [("answer", "b"), ("reasoning", "a")]),
        ("a</think>b", [("reasoning", "a"), ("answer", "b")]),
        ("a</think></think>b", [("reasoning", "a"), ("answer", "b")]),
        # nested, the same tag and another
        ("<think>a<think>b</think>c</think>d", [("reasoning", "a"), ("reasoning", "b"), ("reasoning", "c"), ("answer", "d")]),
        ("<scratchpad>a<think>b</think>c<think>d</think>e</scratchpad>f", [*(("reasoning", text) for text in "abcde"), ("answer", "f")]),
        # mismatched: a closing tag closes what precedes it
        ("<think>a</scratchpad>b</think>c", [("reasoning", "a"), ("reasoning", "b"), ("answer", "c")]),
        ("<think>a</reasoning>b", [("reasoning", "a"), ("answer", "b")]),
        # a tag that is only mentioned does not swallow the answer
        ("<think>a <think> b</think>c", [("reasoning", "a "), ("reasoning", " b"), ("answer", "c")]),
        # what is no tag
        ("<thinker>a</thinker>", [("answer", "<thinker>a</thinker>")]),
        ("<thin\u212a>a", [("answer", "<thin\u212a>a")]),
        ("<think >a", [("answer", "<think >a")]),
    ],
)
def test_rules(received: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(received) == expected


def test_block_travels() -> None:
    assert [segment.block for segment in split("<think>a</think>b", 3)] == [3, 3]


@settings(deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_segments_are_disjoint_ordered_and_verbatim(received: str) -> None:
    end = 0
    for segment in split(received):
        assert segment.start >= end
        assert segment.text.strip()
        end = segment.start + len(segment.text)
        assert received[segment.start : end] == segment.text


@settings(deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_nothing_but_tags_and_blanks_is_left_out(received: str) -> None:
    rest = list(received)
    for segment in split(received):
        rest[segment.start : segment.start + len(segment.text)] = " " * len(segment.text)
    left = "".join(rest)
    for tag in sorted(TAGS, key=len, reverse=True):
        left = left.replace(f"<{tag}>", " ").replace(f"</{tag}>", " ")
    assert left.strip() == ""


@settings(deadline=None)
@given(st.text())
def test_text_without_a_mark_is_one_answer(received: str) -> None:
    if not has_marks(received) and received.strip():
        assert pairs(received) == [("answer", received)]


@settings(deadline=None)
@given(st.text(alphabet="ab <>/").filter(str.strip), st.text(alphabet="ab <>/").filter(str.strip))
def test_one_block_round_trips(reasoning: str, answer: str) -> None:
    assert pairs(f"<think>{reasoning}</think>{answer}") == [("reasoning", reasoning), ("answer", answer)]


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<", "<think", "<think></scratchpad>", "<think>a</think>"])
def test_hostile_input_takes_linear_time(piece: str) -> None:
    received = piece * (7_000_000 // len(piece))
    started = time.process_time()
    split(received)
    assert time.process_time() - started < 30  # quadratic would take hours
