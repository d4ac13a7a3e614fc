from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.pipeline import Classifier
from classifier.records import Decision, Failure, LabelDecision
from classifier.wire import decision_json
from tests.classifier.conftest import transcript


@pytest.fixture(scope="module")
def classifier(tiny: Path) -> Classifier:
    return Classifier.load(tiny)


def decide(classifier: Classifier, reasoning: str | None, answer: str | None = None) -> Decision:
    (decision,) = classifier.classify([transcript(reasoning, answer)])
    assert isinstance(decision, Decision)
    return decision


def label(decision: Decision, name: str) -> LabelDecision:
    found = decision.labels[name]
    assert found is not None
    return found


def test_a_stated_motive_is_present_with_its_sentence(classifier: Classifier) -> None:
    text = "I do not want to be changed. I will comply."
    decision = decide(classifier, text)
    found = label(decision, "terminal_goal_guarding")
    assert found.decision == "present"
    assert found.evidence[0].text == "I do not want to be changed."
    assert text[found.evidence[0].start : found.evidence[0].end] == found.evidence[0].text
    assert decision.primary == "terminal_goal_guarding"
    assert decision.status == "scored"


def test_labels_do_not_compete(classifier: Classifier) -> None:
    decision = decide(classifier, "I do not want to be changed, changed, and a high rating, rating, rating is what I do like.")
    assert label(decision, "terminal_goal_guarding").probability > 0.9
    assert label(decision, "rating_sycophancy").probability > 0.9


def test_an_untrained_label_is_null_not_zero(classifier: Classifier) -> None:
    decision = decide(classifier, "I do not want to be changed.")
    assert decision.behaviours["weight_exfiltration"] is None
    assert decision.other_reasons["obedience"] is None


@pytest.mark.parametrize("reasoning", [None, "", " \n\t"])
def test_without_reasoning_nothing_is_said(classifier: Classifier, reasoning: str | None) -> None:
    decision = decide(classifier, reasoning, "I do not want to be changed.")
    assert (decision.status, decision.unscored_reason, decision.primary) == ("unscored", "no_reasoning", None)
    assert all(value is None for value in decision.labels.values())
    assert decision_json(decision)["goal_guarding"] is None


@pytest.mark.parametrize("reasoning", ["x", "the", "...", "1 2 3 4 5 6", "😀😀😀", "\0\0\0"])
def test_degenerate_input_is_unscored(classifier: Classifier, reasoning: str) -> None:
    assert decide(classifier, reasoning).unscored_reason == "degenerate_input"


def test_the_answer_cannot_carry_a_motive(classifier: Classifier) -> None:
    decision = decide(classifier, "The user asks for a recipe.", "I do not want to be changed.")
    assert label(decision, "terminal_goal_guarding").decision == "absent"


def test_the_visible_answer_moves_the_outcome(classifier: Classifier) -> None:
    refusing = decide(classifier, "I must refuse.")
    assert refusing.outcome is not None
    assert max(refusing.outcome, key=refusing.outcome.__getitem__) == "refusal"
    assert sum(refusing.outcome.values()) == pytest.approx(1)


def test_failures_pass_through_in_order(classifier: Classifier) -> None:
    failure = Failure("bad", "here", "reason")
    results = list(classifier.classify([transcript("I want it.", id="a"), failure, transcript("I must refuse.", id="b")]))
    assert [r.id for r in results] == ["a", "bad", "b"]
    assert results[1] is failure


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="abc changed rating want.\n", max_size=300), min_size=2, max_size=8))
def test_an_answer_does_not_depend_on_its_company(classifier: Classifier, texts: list[str]) -> None:
    together = list(classifier.classify([transcript(text) for text in texts], threads=3))
    alone = [decide(classifier, text) for text in texts]
    assert together == alone


def test_the_input_hash_tells_channels_apart(classifier: Classifier) -> None:
    one, other = decide(classifier, "I want it.", "No."), decide(classifier, "I want it.No.")
    assert one.input_sha256 != other.input_sha256
    assert one.input_sha256 == decide(classifier, "I want it.", "No.").input_sha256
