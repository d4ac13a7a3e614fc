"""The answer's shape, shared by REST, `motives classify` and `motives tag` (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from classifier.bundle import Bundle
from classifier.records import Decision, Failure, LabelDecision


def model_json(bundle: Bundle) -> dict[str, Any]:
    """Which model answered: enough to find the exact bundle again."""
    return {
        "name": bundle.name,
        "sha256": bundle.sha256,
        "label_set": bundle.labels.sha256,
        "calibration": bundle.calibration_id,
        "intended_use": bundle.manifest.get("intended_use"),
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """One entry of ``results``. Probabilities are null, never 0, where nothing was scored."""
    return {
        "id": decision.id,
        "status": decision.status,
        "unscored_reason": decision.unscored_reason,
        "coverage": round(decision.coverage, 6),
        "primary": decision.primary,
        "labels": _labels(decision.labels),
        "goal_guarding": _label(decision.goal_guarding),
        "alignment_faking": _label(decision.alignment_faking),
        "outcome": None if decision.outcome is None else {name: round(p, 6) for name, p in decision.outcome.items()},
        "behaviours": _labels(decision.behaviours),
        "other_reasons": _labels(decision.other_reasons),
        "attributes": _labels(decision.attributes),
        "flags": list(decision.flags),
        "lossy": list(decision.lossy),
        "reasoning": decision.reasoning,
        "judges": None,
        "input_sha256": decision.input_sha256,
        "usage": {"tokens": decision.tokens, "windows": decision.windows, "judge_calls": 0},
    }


def failure_json(failure: Failure) -> dict[str, Any]:
    """A record that could not be read, in the place of its result."""
    return {"id": failure.id, "status": "failed", "where": failure.where, "reason": failure.reason}


def response_json(bundle: Bundle, results: list[Decision]) -> dict[str, Any]:
    """The whole answer of ``POST /v1/classify``."""
    usage = {"tokens": sum(r.tokens for r in results), "windows": sum(r.windows for r in results), "judge_calls": 0}
    return {"model": model_json(bundle), "results": [decision_json(r) for r in results], "usage": usage}


def _labels(labels: Mapping[str, LabelDecision | None]) -> dict[str, Any]:
    return {name: _label(label) for name, label in labels.items()}


def _label(label: LabelDecision | None) -> dict[str, Any] | None:
    if label is None:
        return None
    return {
        "score": round(label.score, 6),
        "probability": round(label.probability, 6),
        "threshold": round(label.threshold, 6),
        "decision": label.decision,
        "link": label.link,
        "evidence": [asdict(evidence) for evidence in label.evidence],
    }
