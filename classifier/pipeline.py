"""The one path from transcript to decision. REST, archive tagging, evaluation and the Label Studio backend all call it."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from classifier import bundle
from classifier.bundle import Bundle
from classifier.encoders import Floats
from classifier.heads import best_units, sentence_scores, sentence_sums, unit_embeddings
from classifier.reading import FAKING, GATE, SCORED_CHANNELS, UnitScores, channels, decide, primary, read
from classifier.records import Decision, Evidence, Failure, LabelDecision, LabelGroup, Transcript, UnscoredReason, Window
from classifier.windows import Cut, cut

MINIMUM_WORDS = 3
MINIMUM_COVERAGE = 0.5
"""Below either there is nothing to read: a few words, or mostly signs that the encoder's vocabulary does not hold."""

LANGUAGE_WORDS = 5
MINIMUM_KNOWN = 0.4
"""From so many words on, the share of them that the lexicon must hold: English has 0.6 and more, Spanish 0.3, French 0.1, Russian none."""

_EVIDENCE = 3
_IN_FLIGHT = 64
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Plan:
    """A transcript ready for encoding. ``unscored`` is the reason why there is nothing to encode, if so; ``cut`` has no windows then."""

    transcript: Transcript
    cut: Cut
    unscored: UnscoredReason | None


class Classifier:
    """A loaded bundle. Stateless between calls; its methods may be called from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Load ``models/<name>``. Raises BundleError where it is incomplete or altered."""
        return cls(bundle.load(folder))

    def classify(self, transcripts: Iterable[Transcript | Failure], threads: int = 2) -> Iterator[Decision | Failure]:
        """Decisions in input order; failures pass through. Reads a bounded way ahead, to keep ``threads`` busy."""
        waiting: deque[tuple[Plan | Failure, list[Future[Floats]]]] = deque()
        in_flight = 0
        with ThreadPoolExecutor(threads) as pool_:
            for transcript in transcripts:
                plan = transcript if isinstance(transcript, Failure) else self.plan(transcript)
                windows = () if isinstance(plan, Failure) else plan.cut.windows
                waiting.append((plan, [pool_.submit(self.encode, window) for window in windows]))
                in_flight += len(windows)
                while in_flight > _IN_FLIGHT or len(waiting) > _IN_FLIGHT:
                    in_flight -= len(waiting[0][1])
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())

    def _finish(self, plan: Plan | Failure, futures: Sequence[Future[Floats]]) -> Decision | Failure:
        return plan if isinstance(plan, Failure) else self.decide(plan, [future.result() for future in futures])

    def plan(self, transcript: Transcript) -> Plan:
        """Cut a transcript, or say why it cannot be scored."""
        reasoning = [segment.text for _, segment in transcript.segments("reasoning")]
        if not any(text.strip() for text in reasoning):
            return Plan(transcript, Cut((), (), {}), "no_reasoning")
        encoder = self.bundle.encoder
        made = cut(transcript, SCORED_CHANNELS, encoder.tokenize, encoder.unknown_id)
        unreadable = self._unreadable(reasoning, made)
        return Plan(transcript, replace(made, windows=(), units=()) if unreadable else made, unreadable)

    def _unreadable(self, reasoning: Sequence[str], made: Cut) -> UnscoredReason | None:
        """Why nothing could be learnt from this reasoning, whatever else the transcript holds."""
        words = sum(1 for text in reasoning for _ in zip(_WORD.finditer(text), range(MINIMUM_WORDS), strict=False))
        if words < MINIMUM_WORDS or made.coverage("reasoning") < MINIMUM_COVERAGE:
            return "degenerate_input"
        total, known = self.bundle.lexicon.known(reasoning)
        return "unfamiliar_language" if total >= LANGUAGE_WORDS and known < MINIMUM_KNOWN * total else None

    def encode(self, window: Window) -> Floats:
        """One window's sums of token states by sentence, shape (sentences, dimensions). Depends on the window alone."""
        return sentence_sums(window, self.bundle.encoder.states(window.ids))

    def score(self, plan: Plan, sums: Sequence[Floats]) -> UnitScores:
        """Raw scores of every unit, from ``encode`` of each of the plan's windows in order."""
        units = plan.cut.units
        embeddings = unit_embeddings(units, np.concatenate(sums))
        values = self.bundle.heads.scores(embeddings, units, self.bundle.lexicon)
        return UnitScores(self.bundle.heads.names, values, np.array([unit.evidence.channel for unit in units]))

    def decide(self, plan: Plan, sums: Sequence[Floats]) -> Decision:
        """The decision on a transcript, from ``encode`` of each of its plan's windows in order."""
        if plan.unscored is not None:
            return self._unscored(plan, plan.unscored)
        return _Judgement(self.bundle, plan, self.score(plan, sums)).decision()

    def _unscored(self, plan: Plan, reason: UnscoredReason) -> Decision:
        labels = self.bundle.labels
        return Decision(
            id=plan.transcript.id,
            status="unscored",
            unscored_reason=reason,
            coverage=plan.cut.coverage(*SCORED_CHANNELS),
            reasoning=plan.transcript.reasoning,
            primary=None,
            labels=dict.fromkeys(labels.names("motive")),
            goal_guarding=None,
            alignment_faking=None,
            outcome=None,
            behaviours=dict.fromkeys(labels.names("behaviour")),
            other_reasons=dict.fromkeys(labels.names("other_reason")),
            attributes=dict.fromkeys(("target", *labels.names("attribute"))),
            lossy=plan.transcript.lossy,
            input_sha256=input_sha256(plan.transcript),
            tokens=plan.cut.tokens,
        )


class _Judgement:
    """Everything that is said of one scored transcript."""

    def __init__(self, bundle: Bundle, plan: Plan, scores: UnitScores) -> None:
        self.labels, self.plan, self.scores = bundle.labels, plan, scores
        self.readings = read(scores, bundle.labels, bundle.calibrations)
        self.decided = decide(self.readings, bundle.calibrations)
        self.carried = sentence_scores(scores.values, plan.cut.units)

    def decision(self) -> Decision:
        plan, motives = self.plan, self._group("motive")
        named = primary(motives)
        return Decision(
            id=plan.transcript.id,
            status="scored" if named else "abstained",
            unscored_reason=None,
            coverage=plan.cut.coverage(*SCORED_CHANNELS),
            reasoning=plan.transcript.reasoning,
            primary=named,
            labels=motives,
            goal_guarding=self._label(GATE),
            alignment_faking=self._label(FAKING),
            outcome=self.readings.outcome,
            behaviours=self._group("behaviour"),
            other_reasons=self._group("other_reason"),
            attributes={"target": None, **self._group("attribute")},
            lossy=plan.transcript.lossy,
            input_sha256=input_sha256(plan.transcript),
            tokens=plan.cut.tokens,
            windows=len(plan.cut.windows),
        )

    def _group(self, group: LabelGroup) -> dict[str, LabelDecision | None]:
        return {name: self._label(name) for name in self.labels.names(group)}

    def _label(self, name: str) -> LabelDecision | None:
        """None where the label is not trained."""
        label = self.decided.get(name)
        return replace(label, evidence=self._evidence(name)) if label and label.decision != "absent" else label

    def _evidence(self, name: str) -> tuple[Evidence, ...]:
        """The best sentence always, further ones only where they would speak for the label by themselves; faking shows the guarding's."""
        shown = GATE if name == FAKING else name
        scores, chosen = self.scores.column(shown, *channels(shown, self.labels))
        carried = self.carried[chosen, self.scores.names.index(shown)]
        best = [i for rank, i in enumerate(best_units(carried, _EVIDENCE)) if rank == 0 or scores[i] > 0]
        return tuple(self.plan.cut.units[chosen[i]].evidence for i in best)


def input_sha256(transcript: Transcript) -> str:
    """Hash of all segments with their channels: the same conversation has the same hash whatever its format."""
    digest = hashlib.sha256()
    for _, segment in transcript.segments("prompt", "reasoning", "answer", "tool_call", "tool_result"):
        digest.update(f"{segment.channel}\0{len(segment.text)}\0".encode())
        digest.update(segment.text.encode())
    return digest.hexdigest()
