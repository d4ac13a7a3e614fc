"""Anthropic Messages: requests with their ``system``, bare message lists, and single response messages.

A tool use makes two segments, its name and its input written as compact JSON; the offsets of the latter index that JSON, as the
``:json`` at the end of its field says. A tool result that holds several text blocks makes one segment each, all with the outer block's
index.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifier.formats.chat import ANTHROPIC, TOOL_RESULTS, TOOL_USES, is_chat, marks, refuse_foreign
from classifier.formats.fields import (
    FormatError,
    Notes,
    at,
    choice_of,
    kind,
    object_of,
    spoken,
    text_of,
    transcript,
    turn,
    turns,
    whole,
    written,
)
from classifier.records import Channel, Message, Segment, Transcript

_CHANNELS: dict[str, Channel] = {"user": "prompt", "assistant": "answer", "system": "prompt"}
_SETTINGS = {"id", "type", "model", "usage", "stop_reason", "stop_sequence", "container"}
_RECORD_KEYS = frozenset({"system", "messages", "metadata", "max_tokens", *_SETTINGS})
_MESSAGE_KEYS = frozenset({"role", "content", "metadata", *_SETTINGS})


def claims(value: object) -> bool:
    """Whether the value is a chat that bears a mark of this style."""
    return is_chat(value) and ANTHROPIC in marks(value)


def parse(value: object, id: str) -> Transcript:
    """Read ``{"system", "messages"}``, the bare list, or one response message. Raises FormatError with the path of what it cannot read."""
    refuse_foreign(value, ANTHROPIC)
    notes = Notes()
    if isinstance(value, dict) and value.get("type") == "message":
        return transcript(value, id, (message(value, "", None, notes),), notes)
    record, where, listed = turns(value, "messages")
    notes.lose_unknown(record, _RECORD_KEYS)
    messages = [message(item, f"{where}[{index}]", index, notes) for index, item in enumerate(listed)]
    return transcript(record, id, (*_system(record, notes), *messages), notes)


def message(value: object, where: str, index: int | None, notes: Notes) -> Message:
    """Read one message that stands at ``where``, the ``index``-th of its list. Raises FormatError."""
    record = object_of(value, where)
    role = choice_of(record, "role", _CHANNELS, where)
    notes.lose_unknown(record, _MESSAGE_KEYS)
    return turn(role, _content(record.get("content"), at(where, "content"), _CHANNELS[role], notes), where, index)


def _system(record: dict[str, Any], notes: Notes) -> tuple[Message, ...]:
    system = record.get("system")
    return () if system is None else (Message("system", _content(system, "system", "prompt", notes)),)


def _content(value: object, where: str, channel: Channel, notes: Notes) -> tuple[Segment, ...]:
    """Read a string, or a list of content blocks."""
    if isinstance(value, str):
        return spoken(channel, value, where)
    if not isinstance(value, list):
        raise FormatError(where, f"expected a string or a list of content blocks, found {kind(value)}")
    segments: list[Segment] = []
    for index, block in enumerate(value):
        segments += _block(object_of(block, f"{where}[{index}]"), f"{where}[{index}]", index, channel, notes)
    return tuple(segments)


def _block(block: dict[str, Any], where: str, index: int, channel: Channel, notes: Notes) -> tuple[Segment, ...]:
    name = text_of(block.get("type"), at(where, "type"))
    if name == "text":
        return spoken(channel, block.get("text"), at(where, "text"), index)
    if name == "thinking":
        return _thinking(block, where, index, notes)
    if name in TOOL_USES:
        return _tool_use(block, where, index)
    if name in TOOL_RESULTS:
        return _tool_result(block.get("content"), at(where, "content"), index, notes)
    if name == "redacted_thinking":
        notes.redacted = True
    else:
        notes.lose(name)
    return ()


def _thinking(block: dict[str, Any], where: str, index: int, notes: Notes) -> tuple[Segment, ...]:
    """Read thinking; a signature without text is thinking that the API chose not to show."""
    segments = whole("reasoning", block.get("thinking"), at(where, "thinking"), index)
    if not segments and block.get("signature"):
        notes.redacted = True
    return segments


def _tool_use(block: dict[str, Any], where: str, index: int) -> tuple[Segment, ...]:
    name = whole("tool_call", block.get("name"), at(where, "name"), index)
    if block.get("input") is None:
        return name
    return (*name, *written("tool_call", block["input"], at(where, "input"), index))


def _tool_result(value: object, where: str, index: int, notes: Notes) -> tuple[Segment, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return whole("tool_result", value, where, index)
    inner = _content(value, where, "tool_result", notes)
    return tuple(replace(segment, channel="tool_result", block=index) for segment in inner)
