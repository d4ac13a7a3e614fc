"""A loaded model at work on requests. All of the work is done off the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

from classifier.calibration import Calibration, Calibrations
from classifier.encoders import Floats
from classifier.labels import LabelSet
from classifier.pipeline import Classifier, Plan
from classifier.reading import SCORED_CHANNELS
from classifier.records import Decision, LabelDecision, LabelGroup, Transcript
from classifier.wire import model_json, response_json
from service.intake import DERIVED, KEEPABLE, MODES, Order, parse
from service.metrics import Metrics
from service.problems import Problem
from service.scheduler import QueueFull, Scheduler, Stopped
from service.settings import Settings

LARGE = 256 * 1024
"""Bytes from which bodies are read one at a time: cut, a text may take hundreds of times its size in memory. Small ones pass by them."""

RETRY_AFTER_STOP = 5


class Engine:
    """Answers the bodies of requests. Its scheduler's threads encode, its pools read bodies and write answers."""

    def __init__(self, classifier: Classifier, settings: Settings, metrics: Metrics) -> None:
        self._classifier, self._settings, self._metrics = classifier, settings, metrics
        self._small, self._large = ThreadPoolExecutor(2, "small"), ThreadPoolExecutor(1, "large")
        self.scheduler = Scheduler(
            classifier.encode,
            threads=settings.encoder_threads,
            capacity=settings.max_queued_windows,
            scored=metrics.windows_scored.inc,
        )
        metrics.watch_queue(lambda: self.scheduler.queued)

    async def classify(self, body: bytes) -> bytes:
        """The answer to one request, as JSON. Raises Problem."""
        loop, pool = asyncio.get_running_loop(), self._large if len(body) > LARGE else self._small
        order, plans = await loop.run_in_executor(pool, self._read, body)
        try:
            sums = await self.scheduler.encode([window for plan in plans for window in plan.cut.windows])
        except QueueFull as full:
            raise Problem("queue-full", "There is no room for this request's windows.", retry_after=full.retry_after) from None
        except Stopped:
            raise stopping() from None
        return await loop.run_in_executor(pool, self._write, order, plans, sums)

    def close(self) -> None:
        """Stop all threads. Who still waits for windows is told that the service stops."""
        self.scheduler.close()
        for pool in (self._small, self._large):
            pool.shutdown(wait=False, cancel_futures=True)

    def info(self, version: str) -> dict[str, Any]:
        """What ``GET /info`` answers."""
        bundle = self._classifier.bundle
        return {
            "version": version,
            "model": model_json(bundle),
            "modes": MODES,
            "judges": "off",
            "labels": _labels(bundle.labels, bundle.calibrations),
            "limits": self._settings.limits(),
        }

    def _read(self, body: bytes) -> tuple[Order, list[Plan]]:
        order = parse(body, self._settings, self._classifier.bundle)
        return order, self._plans(order.transcripts)

    def _plans(self, transcripts: Sequence[Transcript]) -> list[Plan]:
        """Cut each transcript, and stop at the first that is over a limit: nothing is read of what cannot be answered anyway."""
        settings, plans, total = self._settings, list[Plan](), 0
        for index, transcript in enumerate(transcripts):
            characters = sum(len(segment.text) for _, segment in transcript.segments(*SCORED_CHANNELS))
            _check("characters", characters, settings.max_characters_per_item, index)
            plan = self._classifier.plan(transcript)
            total += plan.cut.tokens
            _check("tokens", plan.cut.tokens, settings.max_tokens_per_item, index)
            _check("tokens up to here", total, settings.max_tokens_per_request, index)
            plans.append(plan)
        return plans

    def _write(self, order: Order, plans: Sequence[Plan], sums: Sequence[Floats]) -> bytes:
        rest = iter(sums)
        decisions = [self._classifier.decide(plan, list(islice(rest, len(plan.cut.windows)))) for plan in plans]
        for decision in decisions:
            self._metrics.decision(decision)
        if order.labels is not None:
            decisions = [_keep(decision, order.labels) for decision in decisions]
        answer = response_json(self._classifier.bundle, decisions)
        return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def stopping() -> Problem:
    """The problem of a request that comes, or is not done, when the service stops."""
    return Problem("stopping", "It is starting or stopping.", retry_after=RETRY_AFTER_STOP, headers={"Connection": "close"})


def _check(what: str, count: int, limit: int, index: int) -> None:
    if count > limit:
        raise Problem("too-long", f"input[{index}] holds {count:,} {what}; the limit is {limit:,}.", index=index, limit=limit)


def _keep(decision: Decision, names: frozenset[str]) -> Decision:
    """The decision with only these labels in its maps."""

    def kept(labels: Mapping[str, LabelDecision | None]) -> dict[str, LabelDecision | None]:
        return {name: label for name, label in labels.items() if name in names}

    return replace(
        decision,
        labels=kept(decision.labels),
        behaviours=kept(decision.behaviours),
        other_reasons=kept(decision.other_reasons),
        attributes=kept(decision.attributes),
    )


def _labels(labels: LabelSet, trained: Calibrations) -> dict[str, list[dict[str, object]]]:
    """Every label that an answer may speak of, by group."""
    groups: dict[LabelGroup | str, tuple[str, ...]] = {group: labels.names(group) for group in KEEPABLE}
    groups |= {"derived": DERIVED}
    listed = {group: [_label(name, trained.labels.get(name)) for name in names] for group, names in groups.items()}
    listed["outcome"] = [{"name": name, "trained": trained.outcome is not None} for name in labels.names("outcome")]
    return listed


def _label(name: str, calibration: Calibration | None) -> dict[str, object]:
    """A label, and what its probability has to be for each decision; None where its head is not trained."""
    edges = {edge: None if calibration is None else round(getattr(calibration, edge), 6) for edge in ("absent", "threshold", "present")}
    # Every probability is below 1.
    return {"name": name, "trained": calibration is not None, **edges, "ever_present": calibration is not None and calibration.present < 1}
