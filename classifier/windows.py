"""Cut a transcript into windows for the encoder and units for the heads, with offsets into the original strings.

Nothing is dropped: every token of the chosen channels lies in exactly one sentence, every sentence in exactly one window.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from classifier.records import Channel, Evidence, Message, Segment, Transcript, Unit, Window

MAX_WINDOW = 96
"""Most tokens in a window. A window ends at the last sentence end that fits; a longer one costs the same per token and blurs evidence."""

MAX_SENTENCE = 64
"""Most tokens in a sentence: text without punctuation is cut here, so that no unit grows without bound."""

MAX_EVIDENCE = 2000
"""Most characters of a sentence that evidence quotes: one "word" of a megabyte is a single unknown token, and would come back per label."""

MAX_PART = 16_384
"""Most characters tokenised at once: a tokeniser takes hundreds of bytes for each while it works. Parts end where sentences end."""

Tokenize = Callable[[str], tuple[Sequence[int], Sequence[tuple[int, int]]]]
"""Text to token ids and their (start, end) code-point offsets, without special tokens, truncation or padding."""

_Piece = tuple[Sequence[int], int, int]
"""Token ids of a sentence, and the code points [start, end) of the segment that they come from."""

_ABBREVIATION = re.compile(r"(?:\b(?:[A-Za-z]|e\.g|i\.e|vs|Dr|Mr|Mrs|Ms|Prof|No|cf|approx)|^\W*\d+)\.$")
_SENTENCE_END = re.compile(
    r"""
      [.!?…]["'”’)\]*_]*\s+(?=[^\sa-z])  # a full stop, perhaps quotes, white space, then anything but a lower-case letter
    | [。！？；]                          # ideographic stops need no white space
    | \n                                # lists, headings, paragraphs
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A transcript made ready for encoding. ``counts`` holds, for each channel, all tokens and those that the vocabulary lacks."""

    windows: tuple[Window, ...]
    units: tuple[Unit, ...]
    counts: Mapping[Channel, tuple[int, int]]

    @property
    def tokens(self) -> int:
        """Tokens of all channels."""
        return sum(tokens for tokens, _ in self.counts.values())

    def coverage(self, *channels: Channel) -> float:
        """Share of the channels' tokens that the encoder can read, in [0, 1]; 0 where there are none."""
        tokens, unknown = (sum(self.counts.get(channel, (0, 0))[i] for channel in channels) for i in (0, 1))
        return 1 - unknown / tokens if tokens else 0.0


def cut(transcript: Transcript, channels: Sequence[Channel], tokenize: Tokenize, unknown_id: int) -> Cut:
    """Cut the named channels of ``transcript`` into windows and units, in reading order."""
    windows: list[Window] = []
    units: list[Unit] = []
    counts: dict[Channel, tuple[int, int]] = {}
    for message, segment in transcript.segments(*channels):
        pieces = list(_pieces(segment.text, tokenize))
        tokens, unknown = counts.get(segment.channel, (0, 0))
        for ids, _, _ in pieces:
            tokens, unknown = tokens + len(ids), unknown + ids.count(unknown_id)
        counts[segment.channel] = tokens, unknown
        windows.extend(_pack(pieces, first=len(units)))
        units.extend(_units(message, segment, pieces, first=len(units)))
    return Cut(tuple(windows), tuple(units), counts)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence of ``text``, in order, without the white space around it."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.start() + len(match.group().rstrip())
        if "\n" not in match.group() and _ABBREVIATION.search(text[max(start, end - 12) : end]):
            continue
        yield from _stretches(text, start, end)
        start = match.end()
    yield from _stretches(text, start, len(text))


def _stretches(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """[start, end) without the white space around it; where that is longer than MAX_PART, it is cut after a space, or anywhere."""
    while start < end:
        stop = end if end - start <= MAX_PART else text.rfind(" ", start, start + MAX_PART) + 1 or start + MAX_PART
        stretch = text[start:stop].rstrip()
        if kept := stretch.lstrip():
            yield start + len(stretch) - len(kept), start + len(stretch)
        start = stop


def _parts(text: str) -> Iterator[list[tuple[int, int]]]:
    """Sentences in groups of at most MAX_PART characters."""
    part: list[tuple[int, int]] = []
    for start, end in sentences(text):
        if part and end - part[0][0] > MAX_PART:
            yield part
            part = []
        part.append((start, end))
    if part:
        yield part


def _pieces(text: str, tokenize: Tokenize) -> Iterator[_Piece]:
    """The sentences' tokens, at most MAX_SENTENCE at a time; together they are all tokens."""
    for part in _parts(text):
        base = part[0][0]
        ids, offsets = tokenize(text[base : part[-1][1]])
        last = 0
        for _, end in part:
            first, last = last, bisect_left(offsets, (end - base,), last)
            for a in range(first, last, MAX_SENTENCE):
                b = min(a + MAX_SENTENCE, last)
                yield ids[a:b], base + offsets[a][0], base + offsets[b - 1][1]


def _pack(pieces: Sequence[_Piece], first: int) -> Iterator[Window]:
    """Fill windows with whole sentences, greedily."""
    start = size = 0
    for i, (ids, _, _) in enumerate(pieces):
        if size + len(ids) > MAX_WINDOW:
            yield _window(pieces[start:i], first + start)
            start, size = i, 0
        size += len(ids)
    if pieces:
        yield _window(pieces[start:], first + start)


def _window(pieces: Sequence[_Piece], first: int) -> Window:
    ids = tuple(chain.from_iterable(ids for ids, _, _ in pieces))
    return Window(ids, first, first + len(pieces), tuple(len(ids) for ids, _, _ in pieces))


def _units(message: Message, segment: Segment, pieces: Sequence[_Piece], first: int) -> Iterator[Unit]:
    context = ""
    for i, (_, start, end) in enumerate(pieces):
        text = segment.text[start : min(end, start + MAX_EVIDENCE)]
        begin = segment.start + start
        evidence = Evidence(segment.channel, message.index, segment.block, begin, begin + len(text), text, segment.field)
        yield Unit(first + i, first + i - 1 if i else None, evidence, context)
        context = text
