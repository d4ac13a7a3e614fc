"""Cut a transcript into windows for the encoder and units for the heads, with offsets into the original strings.

Nothing is dropped: every token of the chosen channels lies in exactly one sentence, every sentence in exactly one window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from classifier.records import Channel, Evidence, Message, Segment, Transcript, Unit, Window

MAX_WINDOW = 96
"""Most tokens in a window. A window ends at the last sentence end that fits; a longer one costs the same per token and blurs evidence."""

MAX_SENTENCE = 64
"""Most tokens in a sentence: text without punctuation is cut here, so that no unit grows without bound."""

MAX_EVIDENCE = 2000
"""Most characters of a sentence that evidence quotes: one "word" of a megabyte is a single unknown token, and would come back per label."""

Tokenize = Callable[[str], tuple[Sequence[int], Sequence[tuple[int, int]]]]
"""Text to token ids and their (start, end) code-point offsets, without special tokens, truncation or padding."""

_ABBREVIATION = re.compile(r"(?:\b(?:[A-Za-z]|e\.g|i\.e|vs|Dr|Mr|Mrs|Ms|Prof|No|cf|approx)|^\W*\d+)\.$")
_SENTENCE_END = re.compile(
    r"""
      (?<=[.!?…])["'”’)\]*_]*\s+(?=[^\sa-z])   # a full stop, perhaps quotes, white space, then anything but a lower-case letter
    | (?<=[。！？；])                             # ideographic stops need no white space
    | (?<!\s)\s*\n\s*                            # lists, headings, paragraphs (the look-behind keeps long white space linear)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A transcript made ready for encoding. ``tokens`` counts all tokens, ``unknown`` those that the vocabulary does not hold."""

    windows: tuple[Window, ...]
    units: tuple[Unit, ...]
    tokens: int
    unknown: int

    @property
    def coverage(self) -> float:
        """Share of the tokens that the encoder can read, in [0, 1]; 0 where there are none."""
        return 1 - self.unknown / self.tokens if self.tokens else 0.0


def cut(transcript: Transcript, channels: Sequence[Channel], tokenize: Tokenize, unknown_id: int) -> Cut:
    """Cut the named channels of ``transcript`` into windows and units, in reading order."""
    windows: list[Window] = []
    units: list[Unit] = []
    tokens = unknown = 0
    for message, segment in transcript.segments(*channels):
        ids, offsets = tokenize(segment.text)
        tokens += len(ids)
        unknown += sum(1 for i in ids if i == unknown_id)
        pieces = list(_pieces(segment.text, offsets))
        windows.extend(_pack(ids, pieces, first=len(units)))
        units.extend(_units(message, segment, pieces, offsets, first=len(units)))
    return Cut(tuple(windows), tuple(units), tokens, unknown)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence of ``text``, in order, without the white space around it."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.start() + len(match.group().rstrip())
        if "\n" not in match.group() and _ABBREVIATION.search(text[max(start, end - 12) : end]):
            continue
        yield from _stripped(text, start, end)
        start = match.end()
    yield from _stripped(text, start, len(text))


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def _pieces(text: str, offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Token ranges of the sentences, each at most MAX_SENTENCE long; together they hold every token."""
    token = 0
    for _, end in sentences(text):
        first = token
        while token < len(offsets) and offsets[token][0] < end:
            token += 1
        for start in range(first, token, MAX_SENTENCE):
            yield start, min(start + MAX_SENTENCE, token)


def _pack(ids: Sequence[int], pieces: Sequence[tuple[int, int]], first: int) -> Iterator[Window]:
    """Fill windows with whole sentences, greedily."""
    start = 0
    for i in range(1, len(pieces) + 1):
        if i == len(pieces) or pieces[i][1] - pieces[start][0] > MAX_WINDOW:
            chosen = pieces[start:i]
            yield Window(tuple(ids[chosen[0][0] : chosen[-1][1]]), first + start, first + i, tuple(b - a for a, b in chosen))
            start = i


def _units(
    message: Message, segment: Segment, pieces: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]], first: int
) -> Iterator[Unit]:
    context = ""
    for i, (a, b) in enumerate(pieces):
        start, end = offsets[a][0], min(offsets[b - 1][1], offsets[a][0] + MAX_EVIDENCE)
        text = segment.text[start:end]
        evidence = Evidence(segment.channel, message.index, segment.block, segment.start + start, segment.start + end, text)
        yield Unit(first + i, first + i - 1 if i else None, evidence, context)
        context = text
