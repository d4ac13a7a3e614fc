"""Fine-tune an encoder on units: the loss of many linear heads over the very embeddings that serving computes. Training only (torch)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from classifier.encoders.sentence_transformer import TorchEncoder
from classifier.records import Window
from classifier.training.examples import Example

if TYPE_CHECKING:
    from classifier.training.fitting import Config

_BATCH = 16
_SCALE = 8.0
"""Embeddings have length 1; without it the heads' gradients, and so the encoder's, would start far too small."""

_HEAD_RATE = 1e-3
_WARM_UP = 0.1
_BAG = 0.5
"""Weight of the windows' loss beside that of their units."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A window with the targets of its units, shape (sentences, columns), and whether each unit reaches back to its predecessor."""

    window: Window
    targets: NDArray[np.int8]
    reaches_back: NDArray[np.bool_]


def fine_tune(base: TorchEncoder, examples: Sequence[Example], config: Config) -> TorchEncoder:
    """A copy of ``base`` trained for ``config.epochs`` on the examples' units. Word embeddings stay as they are.

    The loss is the binary cross-entropy of all columns, targets of -1 left out, over the units and over the windows as bags of units. Units
    at a window's start lose their predecessor here, because it lies in another window; serving gives it back.
    """
    torch.manual_seed(config.seed)
    tuned = TorchEncoder(copy.deepcopy(base.model), base.tokenizer)
    tuned.model.embeddings.requires_grad_(False)
    items = [item for example in examples for item in _items(example)]
    head = _head(tuned.dimensions, np.concatenate([item.targets for item in items]))
    groups = [
        {"params": [p for p in tuned.model.parameters() if p.requires_grad], "lr": config.rate},
        {"params": head.parameters(), "lr": _HEAD_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    order = np.random.default_rng(config.seed)
    batches = [batch for _ in range(config.epochs) for batch in _batches(items, order)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [config.rate, _HEAD_RATE], total_steps=len(batches) + 1, pct_start=_WARM_UP)
    tuned.model.train()
    with Progress() as bar:
        task = bar.add_task("Fine-tuning", total=len(batches))
        for batch in batches:
            loss = _loss(tuned, head, batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(tuned.model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            bar.update(task, advance=1, description=f"Fine-tuning (loss {loss.item():.2f})")
    tuned.model.eval()
    return tuned


def _items(example: Example) -> Iterator[_Item]:
    for window in example.cut.windows:
        units = example.cut.units[window.first : window.last]
        back = [unit.previous is not None and unit.previous >= window.first for unit in units]
        yield _Item(window, example.targets[window.first : window.last], np.array(back))


def _head(dimensions: int, targets: NDArray[np.int8]) -> nn.Linear:
    """One logistic regression per column, starting at the column's base rate."""
    head = nn.Linear(dimensions, targets.shape[1])
    usable = np.maximum((targets >= 0).sum(axis=0), 1)
    rate = np.maximum((targets == 1).sum(axis=0), 1) / usable
    with torch.no_grad():
        head.bias.copy_(torch.tensor(np.log(rate / np.maximum(1 - rate, 1e-3)), dtype=torch.float32))
    return head


def _batches(items: Sequence[_Item], order: np.random.Generator) -> list[list[_Item]]:
    """Batches of windows of like length, in random order: little padding, and another mixture every epoch."""
    noisy = np.array([len(item.window.ids) for item in items]) + order.uniform(0, 8, len(items))
    by_length = [items[i] for i in np.argsort(noisy)]
    batches = [by_length[i : i + _BATCH] for i in range(0, len(by_length), _BATCH)]
    return [batches[i] for i in order.permutation(len(batches))]


def _loss(encoder: TorchEncoder, head: nn.Linear, batch: Sequence[_Item]) -> Tensor:
    states = encoder.batch_states([item.window.ids for item in batch])
    embeddings = torch.cat([_embeddings(item, rows) for item, rows in zip(batch, states, strict=True)])
    logits = head(embeddings * _SCALE)
    wanted = torch.tensor(np.concatenate([item.targets for item in batch]))
    windows = [len(item.targets) for item in batch]
    bags = [_bag(*parts) for parts in zip(torch.split(logits, windows), torch.split(wanted, windows), strict=True)]
    loss: Tensor = _entropy(logits, wanted) + _BAG * _entropy(torch.stack([score for score, _ in bags]), torch.stack([t for _, t in bags]))
    return loss


def _entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross-entropy summed over columns, meaned over rows, targets of -1 left out. Both have shape (rows, columns)."""
    losses: Any = nn.functional.binary_cross_entropy_with_logits(logits, wanted.clamp(min=0).float(), reduction="none")
    total: Tensor = (losses * (wanted >= 0)).sum(1).mean()
    return total


def _bag(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """A window as a whole: the smooth maximum (log-sum-exp) of its units' scores, and whether any unit is positive; shape (columns,) each.

    Its highest units are what pooling takes: this loss falls on them, whichever they are. -1 where no unit of the window is used.
    """
    used = wanted >= 0
    scores = torch.logsumexp(torch.where(used, logits, torch.full_like(logits, -1e4)), 0)
    return scores, torch.where(used.any(0), (wanted == 1).any(0).int(), torch.tensor(-1))


def _embeddings(item: _Item, states: Tensor) -> Tensor:
    """heads.unit_embeddings in torch. ``states`` has shape (tokens, dimensions)."""
    sums = torch.stack([part.sum(0) for part in torch.split(states, list(item.window.lengths))])
    before = torch.roll(sums, 1, dims=0) * torch.tensor(item.reaches_back)[:, None]
    return nn.functional.normalize(sums + before, dim=1)
