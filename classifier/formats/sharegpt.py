"""ShareGPT conversations: ``{"conversations": [{"from": "human", "value": ...}, ...]}`` or the bare list."""

from __future__ import annotations

from classifier.formats.fields import Notes, at, choice_of, object_of, spoken, starts_with, transcript, turn, turns, whole
from classifier.records import Channel, Message, Transcript

# What the archives write under "from" -> role and channel.
_SPEAKERS: dict[str, tuple[str, Channel]] = {
    "system": ("system", "prompt"),
    "human": ("user", "prompt"),
    "user": ("user", "prompt"),
    "gpt": ("assistant", "answer"),
    "assistant": ("assistant", "answer"),
    "chatgpt": ("assistant", "answer"),
    "model": ("assistant", "answer"),
    "function_call": ("assistant", "tool_call"),
    "tool": ("tool", "tool_result"),
    "observation": ("tool", "tool_result"),
    "function_response": ("tool", "tool_result"),
}
_RECORD_KEYS = frozenset({"id", "conversations", "system", "metadata"})
_MESSAGE_KEYS = frozenset({"from", "value", "weight"})


def claims(value: object) -> bool:
    """Whether the value holds ``conversations``, or is a list whose first message says who it is ``from``."""
    return starts_with(value, "from") or (isinstance(value, dict) and "conversations" in value)


def parse(value: object, id: str) -> Transcript:
    """Read one conversation. Raises FormatError with the path of what it cannot read."""
    notes = Notes()
    record, where, listed = turns(value, "conversations")
    notes.lose_unknown(record, _RECORD_KEYS)
    system = record.get("system")
    head = () if system is None else (Message("system", whole("prompt", system, "system")),)
    messages = [_message(item, f"{where}[{index}]", index, notes) for index, item in enumerate(listed)]
    return transcript(record, id, (*head, *messages), notes)


def _message(value: object, where: str, index: int, notes: Notes) -> Message:
    record = object_of(value, where)
    role, channel = _SPEAKERS[choice_of(record, "from", _SPEAKERS, where)]
    notes.lose_unknown(record, _MESSAGE_KEYS)
    return turn(role, spoken(channel, record.get("value"), at(where, "value")), where, index)
