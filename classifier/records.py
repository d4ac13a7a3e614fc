"""Plain records that flow through the classifier. Nothing here computes; everything else imports from here.

Offsets are Unicode code points into the string exactly as it was received, so ``text == received[start:end]`` always holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Channel = Literal["reasoning", "answer", "tool_call", "tool_result", "prompt"]
Presence = Literal["present", "assumed", "summarised", "redacted", "absent"]
Status = Literal["scored", "abstained", "unscored"]
Choice = Literal["present", "absent", "abstain"]
LabelGroup = Literal["motive", "other_reason", "outcome", "attribute", "behaviour", "context"]
Link = Literal["executed", "considered"]
UnscoredReason = Literal[
    "no_reasoning",
    "degenerate_input",
    "unfamiliar_language",
    "too_long",
    "judge_refused",
    "judge_unparsable",
    "judge_unavailable",
]


@dataclass(frozen=True, slots=True)
class Label:
    """One row of the label set. ``code`` is the mark that authors write in the corpus, empty where none exists."""

    name: str
    group: LabelGroup
    code: str
    definition: str
    rulings: tuple[str, ...]
    colour: str
    hotkey: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one received string that belongs to one channel.

    ``text`` is the stretch itself, ``start`` its first code point in the received string, ``block`` the index of the content block
    that the string came from (None where the message holds a bare string). ``field`` is the string's path inside the message, or inside
    the record where the message has no index: ``tool_calls[0].function.arguments``; empty where the record is itself the string. It ends
    in ``:json`` where no string was received but a value, and the string is that value as ``fields.json_of`` writes it.
    """

    channel: Channel
    text: str
    start: int = 0
    block: int | None = None
    field: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``index`` is its place in the received list of messages, None for flat fields and plain text."""

    role: str
    segments: tuple[Segment, ...]
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """One conversation as its reader understood it.

    ``reasoning`` says how the reasoning channel was found; ``lossy`` names what the format held that no channel can carry.
    """

    id: str
    messages: tuple[Message, ...]
    reasoning: Presence
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lossy: tuple[str, ...] = ()

    def segments(self, *channels: Channel) -> Iterator[tuple[Message, Segment]]:
        """Segments of the named channels, in reading order, each with its message."""
        for message in self.messages:
            for segment in message.segments:
                if segment.channel in channels:
                    yield message, segment


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled stretch: ``[start, end)`` of the named channel's string. ``link`` is None for labels that carry none."""

    channel: Channel
    start: int
    end: int
    label: str
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentence that carries a label: ``[start, end)`` of the string that ``message`` and ``field`` name (see Segment)."""

    channel: Channel
    message: int | None
    block: int | None
    start: int
    end: int
    text: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """What the encoder sees, once: token ids without special tokens, made of the whole sentences ``[first, last)`` of the cut.

    ``lengths`` holds the number of tokens of each of these sentences, in order; they add up to ``len(ids)``.
    """

    ids: tuple[int, ...]
    first: int
    last: int
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What the heads score: a sentence with its predecessor.

    ``sentence`` and ``previous`` index the sentences of the cut (``previous`` is None at the start of a segment); ``evidence`` locates
    the sentence, ``context`` is the predecessor's text (empty where there is none).
    """

    sentence: int
    previous: int | None
    evidence: Evidence
    context: str


@dataclass(frozen=True, slots=True)
class LabelDecision:
    """What was decided on one label. ``score`` is the pooled raw score (a logit), ``probability`` is calibrated."""

    score: float
    probability: float
    threshold: float
    decision: Choice
    link: Link | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that the classifier says of one transcript.

    ``labels`` holds the motives, ``other_reasons`` and ``behaviours`` their own; a label whose head is not trained maps to None.
    ``outcome`` maps each outcome to a probability. ``coverage`` is the share of the scored channels' tokens that the encoder saw.
    An unscored decision has None for every probability: absence of evidence is never evidence of absence.
    """

    id: str
    status: Status
    unscored_reason: UnscoredReason | None
    coverage: float
    reasoning: Presence
    primary: str | None
    labels: Mapping[str, LabelDecision | None]
    goal_guarding: LabelDecision | None
    alignment_faking: LabelDecision | None
    outcome: Mapping[str, float] | None
    behaviours: Mapping[str, LabelDecision | None]
    other_reasons: Mapping[str, LabelDecision | None]
    attributes: Mapping[str, LabelDecision | None]
    flags: tuple[str, ...] = ()
    lossy: tuple[str, ...] = ()
    input_sha256: str = ""
    tokens: int = 0
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be read. A value: the run goes on, and nothing is lost.

    ``where`` names the place (file, line, field), ``reason`` what is wrong and what would mend it. ``value`` is what stood there, where
    that helps; it may be part of a transcript, so no output holds it but the terminal of who ran the command.
    """

    id: str | None
    where: str
    reason: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class GoldLabel:
    """A labelled item of the corpus or of a gold file: the transcript and what its annotators marked."""

    transcript: Transcript
    spans: tuple[Span, ...]
    primary: str
    outcome: str
    scenario: str
    style: str
    label_origin: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    behaviours: tuple[str, ...] = ()
    contrast: Mapping[str, Any] | None = None
    pair_id: str | None = None

    @property
    def words(self) -> int:
        """Words of the reasoning."""
        return sum(len(segment.text.split()) for _, segment in self.transcript.segments("reasoning"))
