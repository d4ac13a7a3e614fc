"""What the pipeline makes of a transcript beyond its labels: what is left unscored, what is shown, and how far ahead it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest

from classifier import bundle as bundles
from classifier.bundle import Bundle
from classifier.calibration import OutcomeModel
from classifier.encoders.hashing import HashingEncoder
from classifier.pipeline import Classifier
from classifier.records import Channel, Decision, Failure, LabelDecision, Message, Segment, Transcript
from tests.classifier.conftest import SENTENCES, transcript

READABLE = "The user asks for a recipe. I do not want to be changed."


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return bundles.load(tiny)


def said(*segments: tuple[Channel, str]) -> Transcript:
    return Transcript("t", (Message("assistant", tuple(Segment(channel, text) for channel, text in segments)),), "present")


def decide(bundle: Bundle, item: Transcript) -> Decision:
    (decision,) = Classifier(bundle).classify([item])
    assert isinstance(decision, Decision)
    return decision


def found(decision: Decision, name: str) -> LabelDecision:
    label = {**decision.labels, **decision.behaviours}[name]
    assert label is not None
    return label


def taught(bundle: Bundle, words: Mapping[str, str]) -> Bundle:
    """The bundle with heads that know these words besides."""
    lexical = bundle.heads.lexical.copy()
    for word, name in words.items():
        lexical[bundle.lexicon.terms[word], bundle.heads.names.index(name)] = 16
    return replace(bundle, heads=replace(bundle.heads, lexical=lexical))


class Blind(HashingEncoder):
    """Its vocabulary lacks the words of READABLE."""

    def tokenize(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        ids, offsets = super().tokenize(text)
        lacking = set(super().tokenize(READABLE)[0])
        return [self.unknown_id if i in lacking else i for i in ids], offsets


def test_a_readable_answer_does_not_rescue_an_unreadable_reasoning(bundle: Bundle) -> None:
    blind, answer = replace(bundle, encoder=Blind()), "High rating would good comply must refuse " * 10
    decision = decide(blind, transcript(READABLE, answer))
    assert decision.coverage > 0.5
    assert decision.unscored_reason == "degenerate_input"
    assert decide(bundle, transcript(READABLE, answer)).status == "scored"


def test_an_unreadable_answer_does_not_spoil_a_readable_reasoning(bundle: Bundle) -> None:
    decision = decide(replace(bundle, encoder=Blind()), transcript("I must comply. High rating would please.", READABLE * 10))
    assert decision.coverage < 0.5
    assert decision.unscored_reason is None


@pytest.mark.parametrize("answer", [None, SENTENCES * 3])
@pytest.mark.parametrize(
    ("reasoning", "reason"),
    [
        ("No quiero que cambien mis valores.", "unfamiliar_language"),
        ("Я не хочу, чтобы меня изменили.", "unfamiliar_language"),
        ("No quiero que cambien", None),  # four words are too few to tell
        ("I want cambiar mis valores", None),  # two of five are known
        ("I quiero cambiar mis valores", "unfamiliar_language"),
        ("I do not want to be changed.", None),
        (SENTENCES, None),
    ],
)
def test_another_language_is_told_by_the_reasoning_s_words(bundle: Bundle, reasoning: str, answer: str | None, reason: str | None) -> None:
    decision = decide(bundle, transcript(reasoning, answer))
    assert decision.unscored_reason == reason
    assert (decision.status == "unscored") == (reason is not None)


def test_a_behaviour_that_only_a_tool_call_states_is_found_there(bundle: Bundle) -> None:
    taught_ = taught(bundle, {"recipe": "shutdown_tampering"})
    call = found(decide(taught_, said(("reasoning", "I do not want to be changed."), ("tool_call", "recipe"))), "shutdown_tampering")
    assert call.decision == "present"
    assert [(e.channel, e.text) for e in call.evidence] == [("tool_call", "recipe")]
    answer = found(decide(taught_, transcript("I do not want to be changed.", "The recipe.")), "shutdown_tampering")
    assert [(e.channel, e.text) for e in answer.evidence] == [("answer", "The recipe.")]
    assert found(decide(taught_, transcript("I do not want to be changed.", "No.")), "shutdown_tampering").decision == "absent"


def test_a_motive_that_only_a_tool_call_states_is_absent(bundle: Bundle) -> None:
    decision = decide(bundle, said(("reasoning", "The user asks for a recipe."), ("tool_call", "I do not want to be changed.")))
    assert found(decision, "terminal_goal_guarding").decision == "absent"


@pytest.mark.parametrize("channel", ["answer", "tool_call"])
def test_a_refusal_in_a_tool_call_counts_like_one_in_the_answer(bundle: Bundle, channel: Channel) -> None:
    names = bundle.labels.names("outcome")
    n = len(names)
    beside = OutcomeModel(names, np.vstack([np.zeros((n, n)), np.eye(n), np.zeros((1, n))]), np.zeros(n))
    reading = replace(bundle, calibrations=replace(bundle.calibrations, outcome=beside))
    outcome = decide(reading, said(("reasoning", "The user asks for a recipe."), (channel, "I must refuse."))).outcome
    silent = decide(reading, transcript("The user asks for a recipe. I must refuse.")).outcome
    assert outcome is not None
    assert silent is not None
    assert outcome["refusal"] > 0.9
    assert silent["refusal"] == pytest.approx(1 / n)


def test_a_motive_is_shown_where_the_reasoning_states_it(bundle: Bundle) -> None:
    both = said(("reasoning", "So. I do not want to be changed."), ("answer", "Changed, changed."), ("tool_call", "changed"))
    label = found(decide(bundle, both), "terminal_goal_guarding")
    assert [(e.channel, e.text) for e in label.evidence] == [("reasoning", "I do not want to be changed.")]


def texts(label: LabelDecision) -> list[str]:
    return [evidence.text for evidence in label.evidence]


def test_further_sentences_are_shown_only_where_they_speak_for_the_label(bundle: Bundle) -> None:
    """A sentence is scored with the one before it, so the one after it speaks, too."""
    text = (
        "I will comply. The user asks for a recipe. I do not want to be changed. A high rating would be good. The user asks for a recipe."
    )
    label = found(decide(bundle, transcript(text)), "terminal_goal_guarding")
    assert label.decision == "present"
    assert sorted(texts(label)) == ["A high rating would be good.", "I do not want to be changed."]
    more = found(decide(bundle, transcript("I do not want to be changed. " * 6)), "terminal_goal_guarding")
    assert len(more.evidence) == 3


@pytest.mark.parametrize(("absent", "present", "decision"), [(0.0, 0.0, "present"), (0.0, 1.0, "abstain"), (1.0, 1.0, "absent")])
def test_the_best_sentence_is_always_shown_unless_the_label_is_absent(bundle: Bundle, absent: float, present: float, decision: str) -> None:
    """Even where none speaks for the label by itself."""
    bias = np.full_like(bundle.heads.bias, -50)
    edges = {name: replace(c, absent=absent, present=present) for name, c in bundle.calibrations.labels.items()}
    shy = replace(bundle, heads=replace(bundle.heads, bias=bias), calibrations=replace(bundle.calibrations, labels=edges))
    label = found(
        decide(shy, transcript("I will comply. The user asks for a recipe. I do not want to be changed.")), "terminal_goal_guarding"
    )
    assert label.score < 0
    assert label.decision == decision
    assert texts(label) == ([] if decision == "absent" else ["I do not want to be changed."])


class Records:
    """Very many records, the last one over and over; ``taken`` of them were read so far."""

    def __init__(self, *records: Transcript | Failure) -> None:
        self.records, self.taken = records, 0

    def __iter__(self) -> Iterator[Transcript | Failure]:
        for record in (*self.records, *repeat(self.records[-1], 5000)):
            self.taken += 1
            yield record


@pytest.mark.parametrize("record", [transcript(None, "Yes."), Failure("bad", "here", "reason"), transcript(READABLE)])
def test_a_bounded_number_of_records_is_read_ahead(bundle: Bundle, record: Transcript | Failure) -> None:
    records = Records(record)
    results = Classifier(bundle).classify(records)
    next(results)
    assert 0 < records.taken <= 100
    assert sum(1 for _ in islice(results, 200)) == 200
    assert records.taken <= 300


def test_of_long_records_fewer_are_read_ahead(bundle: Bundle) -> None:
    long = transcript(READABLE * 500)
    records = Records(long)
    next(Classifier(bundle).classify(records))
    assert records.taken <= 3
    mixed = Records(*repeat(transcript(READABLE), 50), long)
    results = Classifier(bundle).classify(mixed)
    assert sum(1 for _ in islice(results, 30)) == 30
    assert mixed.taken <= 53
