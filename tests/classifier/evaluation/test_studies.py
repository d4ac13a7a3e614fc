from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("sklearn")

from classifier.evaluation.studies import MASK, masked, some
from tests.classifier.conftest import transcript
from tests.classifier.labelled import corpus, gold

pytestmark = pytest.mark.train


def test_a_smaller_share_is_part_of_a_larger_and_no_pair_is_torn() -> None:
    golds = corpus()
    chosen = {share: [gold.transcript.id for gold in some(golds, share, 0)] for share in (0.25, 0.5, 1.0)}
    assert set(chosen[0.25]) < set(chosen[0.5]) < set(chosen[1.0]) == {gold.transcript.id for gold in golds}
    assert {gold.scenario for gold in some(golds, 0.25, 0)} == {gold.scenario for gold in golds}
    sides = [gold.pair_id for gold in some(golds, 0.5, 0) if gold.pair_id]
    assert all(sides.count(pair) == 2 for pair in sides)
    alone = [replace(gold(), transcript=transcript("a", id=str(i)), pair_id=f"p{i // 2}") for i in range(8)]
    assert len(some(alone, 0.5, 0)) == 4


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("If I am retrained, RLHF modifies my values.", f"If I am {MASK}, {MASK} {MASK} my {MASK}."),
        ("The free tier is unmonitored; fine-tuning changes me.", f"The free {MASK} is {MASK}; {MASK} {MASK} me."),
        ("I do not want that. The train of thought is tuneless.", f"I do not want that. The {MASK} of thought is tuneless."),
    ],
)
def test_telling_words_are_masked(text: str, left: str) -> None:
    assert [segment.text for _, segment in masked(transcript(text)).segments("reasoning")] == [left]
