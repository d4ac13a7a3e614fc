"""What Prometheus reads. One registry for each application, so that two of them in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from classifier.records import Decision, LabelDecision

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of the service. Methods may be called from several threads."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("motives_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram("motives_request_seconds", "Time to the answer.", ["route"], buckets=_BUCKETS, registry=registry)
        self._decisions = Counter("motives_decisions", "Decisions on labels.", ["label", "decision"], registry=registry)
        self._unscored = Counter("motives_unscored", "Transcripts that could not be scored.", ["reason"], registry=registry)
        self._queued = Gauge("motives_windows_queued", "Windows waiting for the encoder.", registry=registry)
        self.windows_scored = Counter("motives_windows_scored", "Windows encoded.", registry=registry)
        self.tokens = Counter("motives_tokens", "Tokens of the answered transcripts.", registry=registry)
        self.deadline_misses = Counter("motives_deadline_misses", "Requests whose deadline passed.", registry=registry)

    def watch_queue(self, queued: Callable[[], float]) -> None:
        """Read the number of waiting windows from ``queued`` from now on."""
        self._queued.set_function(queued)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request, whatever became of it."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def decision(self, decision: Decision) -> None:
        """Count one transcript's decisions."""
        self.tokens.inc(decision.tokens)
        if decision.unscored_reason is not None:
            self._unscored.labels(decision.unscored_reason).inc()
        derived = {"goal_guarding": decision.goal_guarding, "alignment_faking": decision.alignment_faking}
        for labels in (decision.labels, derived, decision.behaviours, decision.other_reasons, decision.attributes):
            for name, label in labels.items():
                self._label(name, label)

    def _label(self, name: str, label: LabelDecision | None) -> None:
        if label is not None:
            self._decisions.labels(name, label.decision).inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
