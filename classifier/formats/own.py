"""Our own record: flat fields, or a message list in either chat style. Corpus, gold files and archives share it."""

from __future__ import annotations

from typing import Any

from classifier.formats import anthropic_messages, openai_chat
from classifier.formats.chat import ANTHROPIC, conflict, message_marks, record_marks
from classifier.formats.fields import REFORMAT, FormatError, Notes, object_of, spoken, transcript, turns, whole
from classifier.records import Message, Segment, Transcript

_FLAT = ("system_prompt", "user", "reasoning", "answer")
_LABELLED = {
    "spans",
    "labels",
    "primary",
    "outcome",
    "behaviours",
    "attributes",
    "scenario",
    "style",
    "contrast",
    "pair_id",
    "votes",
    "label_origin",
    "codebook",
    "flags",
}
_KEYS = frozenset({"id", "messages", "metadata", *_FLAT, *_LABELLED})


def claims(value: object) -> bool:
    """Whether the value bears our keys (a flat field, or ``id`` or a trace beside ``messages``) and no other format's."""
    if not isinstance(value, dict) or "conversations" in value or value.keys() >= {"role", "content"} or record_marks(value):
        return False
    if value.get("messages") is not None:
        return "id" in value or any(isinstance(value.get(key), str) for key in ("reasoning", "answer"))
    return any(key in value for key in _FLAT)


def parse(value: object, id: str) -> Transcript:
    """Read one record; a labelled item's own keys are known, any other key is lossy. Raises FormatError with the path."""
    record = object_of(value, "record", REFORMAT)
    notes = Notes()
    notes.lose_unknown(record, _KEYS)
    messages = _flat(record) if record.get("messages") is None else _listed(record, notes)
    return transcript(record, id, messages, notes)


def _flat(record: dict[str, Any]) -> list[Message]:
    if not any(key in record for key in _FLAT):
        raise FormatError("record", f"holds no transcript: expected messages or one of {', '.join(_FLAT)}")
    messages = [
        Message("system", _field(record, "system_prompt")),
        Message("user", _field(record, "user")),
        Message("assistant", _assistant(record)),
    ]
    return [message for message in messages if message.segments]


def _field(record: dict[str, Any], key: str) -> tuple[Segment, ...]:
    value = record.get(key)
    return () if value is None else whole("prompt", value, key)


def _assistant(record: dict[str, Any]) -> tuple[Segment, ...]:
    """Reasoning that has a field of its own is kept whole, and so is the answer beside it."""
    reasoning, answer = record.get("reasoning"), record.get("answer")
    thought = () if reasoning is None else whole("reasoning", reasoning, "reasoning")
    if answer is None:
        return thought
    return (*thought, *(whole if thought else spoken)("answer", answer, "answer"))


def _listed(record: dict[str, Any], notes: Notes) -> list[Message]:
    both = [key for key in _FLAT if record.get(key) is not None]
    if both:
        raise FormatError(both[0], "stands beside messages: keep either the flat fields or the messages")
    _, where, listed = turns(record, "messages")
    return [_message(item, f"{where}[{index}]", index, notes) for index, item in enumerate(listed)]


def _message(value: object, where: str, index: int, notes: Notes) -> Message:
    """Each message by the style that marks it; an unmarked one means the same in both."""
    found = message_marks(value, where)
    if len(found) > 1:
        raise conflict(found)
    read = anthropic_messages.message if ANTHROPIC in found else openai_chat.message
    return read(value, where, index, notes)
