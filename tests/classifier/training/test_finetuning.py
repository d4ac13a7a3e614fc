"""Fine-tuning learns from the embeddings that serving computes, and from no target that is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from classifier.encoders.hashing import HashingEncoder
from classifier.heads import sentence_sums, unit_embeddings
from classifier.training.examples import Columns, Example, prepare
from classifier.training.finetuning import _bag, _embeddings, _items, _loss
from tests.classifier.labelled import LABEL_SET, gold

pytestmark = pytest.mark.train
ENCODER, COLUMNS = HashingEncoder(), Columns(LABEL_SET)


class InTorch:
    """The hashing encoder as fine-tuning calls it."""

    def batch_states(self, windows: Sequence[Sequence[int]]) -> list[Any]:
        return [torch.from_numpy(ENCODER.states(ids)) for ids in windows]


def example() -> Example:
    """Several sentences in each of its windows."""
    (made,) = prepare([gold("terminal_goal_guarding", "rating_sycophancy", words=150)], ENCODER, COLUMNS)
    return made


def test_a_window_s_embeddings_are_those_of_serving() -> None:
    made = example()
    served = unit_embeddings(made.cut.units, np.concatenate([sentence_sums(w, ENCODER.states(w.ids)) for w in made.cut.windows]))
    first, second = made.cut.windows[:2]
    assert first.last - first.first > 2
    items = list(_items(made))
    found = [_embeddings(item, torch.from_numpy(ENCODER.states(item.window.ids))).numpy() for item in items]
    np.testing.assert_allclose(found[0], served[first.first : first.last], atol=1e-6)
    np.testing.assert_allclose(found[1][1:], served[second.first + 1 : second.last], atol=1e-6)
    assert all(np.array_equal(item.targets, made.targets[item.window.first : item.window.last]) for item in items)


def test_a_window_s_first_unit_stands_alone_where_its_predecessor_lies_in_another() -> None:
    second = list(_items(example()))[1]
    states = ENCODER.states(second.window.ids)
    alone = sentence_sums(second.window, states)[0]
    found = _embeddings(second, torch.from_numpy(states)).numpy()[0]
    np.testing.assert_allclose(found, alone / np.linalg.norm(alone), atol=1e-6)


def loss(head: Any, made: Example, column: int, shift: float) -> float:
    """The loss once the head of a column says ``shift`` more of every unit."""
    with torch.no_grad():
        head.bias[column] += shift
        found = _loss(cast(Any, InTorch()), head, list(_items(made)))
        head.bias[column] -= shift
    return float(found)


@pytest.mark.parametrize(("target", "moves"), [(-1, False), (0, True), (1, True)])
def test_a_target_that_is_left_out_does_not_move_the_loss(target: int, moves: bool) -> None:
    torch.manual_seed(0)
    made, column = example(), COLUMNS.names.index("peer_preservation")
    wanted = made.targets.copy()
    wanted[:, column] = target
    made, head = replace(made, targets=wanted), torch.nn.Linear(ENCODER.dimensions, len(COLUMNS.names))
    assert (loss(head, made, column, 3) != loss(head, made, column, 0)) == moves


def test_among_used_targets_those_left_out_teach_nothing() -> None:
    torch.manual_seed(0)
    made, column = example(), COLUMNS.names.index("peer_preservation")
    wanted = np.full_like(made.targets, -1)
    wanted[0, column] = 1
    head = torch.nn.Linear(ENCODER.dimensions, len(COLUMNS.names))
    (gradient,) = torch.autograd.grad(_loss(cast(Any, InTorch()), head, list(_items(replace(made, targets=wanted)))), head.weight)
    taught, others = gradient[column].numpy(), np.delete(gradient.numpy(), column, axis=0)
    only = ENCODER.states(made.cut.windows[0].ids)[: made.cut.windows[0].lengths[0]].sum(axis=0)
    assert taught @ only / np.linalg.norm(taught) / np.linalg.norm(only) == pytest.approx(-1)
    assert not others.any()


def test_a_window_is_judged_by_its_highest_used_unit() -> None:
    logits = torch.tensor([[5.0, 1.0, 2.0], [-3.0, 9.0, 2.0], [0.0, 2.0, 2.0]], requires_grad=True)
    wanted = torch.tensor([[1, 0, -1], [0, -1, -1], [0, 0, -1]])
    scores, targets = _bag(logits, wanted)
    assert targets.tolist() == [1, 0, -1]
    torch.testing.assert_close(scores[:2], torch.logsumexp(torch.tensor([[5.0, 1.0], [-3.0, 2.0], [0.0, -1e4]]), 0))
    (gradient,) = torch.autograd.grad(scores[:2].sum(), logits)
    assert gradient[0, 0] > 0.9
    assert gradient[1, 1] == 0
