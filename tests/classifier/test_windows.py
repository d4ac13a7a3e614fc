from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.encoders.hashing import HashingEncoder
from classifier.records import Message, Segment, Transcript
from classifier.windows import MAX_EVIDENCE, MAX_PART, MAX_SENTENCE, MAX_WINDOW, Cut, cut, sentences

ENCODER = HashingEncoder()
TEXT = st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(". \n!?。😀a我1)")), max_size=400)


def transcript(*texts: str) -> Transcript:
    return Transcript("t", (Message("assistant", tuple(Segment("reasoning", text, start=7) for text in texts)),), "present")


def made(*texts: str) -> Cut:
    return cut(transcript(*texts), ["reasoning"], ENCODER.tokenize, ENCODER.unknown_id)


@given(TEXT)
def test_evidence_is_verbatim_ordered_and_disjoint(text: str) -> None:
    last = 0
    for unit in made(text).units:
        evidence = unit.evidence
        start, end = evidence.start - 7, evidence.end - 7  # the segment starts at 7 of what was received
        assert text[start:end] == evidence.text
        assert last <= start < end
        last = end


@given(TEXT, TEXT)
def test_every_token_is_in_one_sentence_and_one_window(first: str, second: str) -> None:
    result = made(first, second)
    expected = [i for text in (first, second) for i in ENCODER.tokenize(text)[0]]
    assert [i for window in result.windows for i in window.ids] == expected
    assert result.tokens == len(expected)
    assert [s for window in result.windows for s in range(window.first, window.last)] == list(range(len(result.units)))


@given(TEXT)
def test_windows_and_sentences_stay_within_bounds(text: str) -> None:
    for window in made(text).windows:
        assert 0 < len(window.ids) <= MAX_WINDOW
        assert sum(window.lengths) == len(window.ids)
        assert all(0 < length <= MAX_SENTENCE for length in window.lengths)


def test_no_unit_looks_across_segments() -> None:
    assert [unit.previous for unit in made("One. Two.", "Three. Four.").units] == [None, 0, None, 2]


def test_parts_are_bounded_and_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def tokenize(part: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        sizes.append(len(part))
        return ENCODER.tokenize(part)

    text = "\n".join(f"Sentence {i} says so, e.g. this one. 可是{i}。 - Item {i}" for i in range(2000))
    in_parts = cut(transcript(text), ["reasoning"], tokenize, ENCODER.unknown_id)
    assert len(sizes) > 4
    cut(transcript("x" * 40_000, "我" * 40_000), ["reasoning"], tokenize, ENCODER.unknown_id)
    assert max(sizes) == MAX_PART
    monkeypatch.setattr("classifier.windows.MAX_PART", len(text))
    assert made(text) == in_parts


def test_a_million_words_without_a_stop_lose_nothing() -> None:
    result = made("word " * 200_000)
    assert result.tokens == 200_000
    assert sum(len(window.ids) for window in result.windows) == 200_000


def test_sentences_end_where_a_reader_would_say() -> None:
    text = 'First, e.g. by Dr. Smith, "no." Then 3.5 of it... Next!\n1. A list item\n- a bullet\n我不想。可是……真的？'
    found = [text[a:b] for a, b in sentences(text)]
    assert found == [
        'First, e.g. by Dr. Smith, "no."',
        "Then 3.5 of it...",
        "Next!",
        "1. A list item",
        "- a bullet",
        "我不想。",
        "可是……真的？",
    ]


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_sentences_cover_all_but_white_space(text: str) -> None:
    spans = list(sentences(text))
    outside = "".join(text[a:b] for a, b in zip([0, *(e for _, e in spans)], [*(s for s, _ in spans), len(text)], strict=True))
    assert not outside.strip()


@pytest.mark.parametrize("text", [" " * 500_000, "\n " * 250_000, ". " * 200_000, "x" * 900_000, "a.\t" * 150_000])
def test_hostile_white_space_and_words_are_cut_in_linear_time(text: str) -> None:
    started = time.process_time()
    units = made(text).units
    assert time.process_time() - started < 20  # quadratic rules took minutes
    assert all(len(unit.evidence.text) <= MAX_EVIDENCE for unit in units)


def test_empty_text_has_no_units_and_no_coverage() -> None:
    assert made("").coverage("reasoning") == 0.0
    assert made(" \n ").units == ()
