"""Which of the two chat styles a message list is written in, told by what only one of them writes.

Lists without any such mark mean the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from classifier.formats.fields import FormatError, starts_with

OPENAI = "openai"
ANTHROPIC = "anthropic"
TOOL_USES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
TOOL_RESULTS = frozenset({"tool_result", "mcp_tool_result"})

_OPENAI_ROLES = ("system", "developer", "tool", "function")
_OPENAI_KEYS = ("tool_calls", "function_call", "reasoning_content", "reasoning", "refusal")
_OPENAI_PARTS = ("image_url", "input_audio", "input_text", "output_text", "refusal", "reasoning")
_ANTHROPIC_BLOCKS = frozenset({"thinking", "redacted_thinking"}) | TOOL_USES | TOOL_RESULTS


def is_chat(value: object) -> bool:
    """Whether the value has the outer shape of a chat: a list of messages, an object holding one, or a single answer of either API."""
    return starts_with(value, "role") or (isinstance(value, dict) and ("messages" in value or bool(record_marks(value))))


def holds_turns(value: object) -> bool:
    """Whether the value is a list of one conversation's messages: one record, where any other list holds one each.

    The answers of Anthropic's API have a role too, but each is a record of its own, told by its stop reason.
    """
    return (starts_with(value, "role") or starts_with(value, "from")) and not starts_with(value, "stop_reason")


def record_marks(record: Mapping[str, Any]) -> dict[str, str]:
    """Style -> the top-level key that marks it."""
    found = {}
    if starts_with(record.get("choices"), "message"):
        found[OPENAI] = "choices"
    elif starts_with(record.get("output"), "type"):
        found[OPENAI] = "output"
    if record.get("type") == "message" and "role" in record:
        found[ANTHROPIC] = "type"
    elif "messages" in record and record.get("system") is not None:
        found[ANTHROPIC] = "system"
    return found


def marks(value: object) -> dict[str, str]:
    """Style -> the first place in the chat ``value`` that marks it. Never raises: what is malformed marks nothing."""
    found = record_marks(value) if isinstance(value, dict) else {}
    for message, where in _messages(value):
        for style, place in message_marks(message, where).items():
            found.setdefault(style, place)
        if len(found) == 2:
            break
    return found


def message_marks(message: object, where: str) -> dict[str, str]:
    """Style -> the first place in one message that marks it."""
    found: dict[str, str] = {}
    if isinstance(message, dict):
        for style, place in _message_marks(message):
            found.setdefault(style, f"{where}.{place}" if where else place)
    return found


def refuse_foreign(value: object, style: str) -> None:
    """Raise FormatError where the chat bears only marks of the other style. One that bears both is read as it was named."""
    found = marks(value)
    if found and style not in found:
        other, place = next(iter(found.items()))
        raise FormatError(place, f"is written in the {other} format, not {style}: name it with --format {other} ('format')")


def conflict(found: Mapping[str, str]) -> FormatError:
    """Return the error for a value that bears marks of both styles."""
    places = " and ".join(f"{style} ({place})" for style, place in found.items())
    return FormatError(next(iter(found.values())), f"bears marks of {places}: name it with --format ('format')")


def _messages(value: object) -> Iterator[tuple[Any, str]]:
    if isinstance(value, list):
        yield from ((message, f"[{index}]") for index, message in enumerate(value))
    elif isinstance(value, dict):
        messages = value.get("messages", [])
        if isinstance(messages, list):
            yield from ((message, f"messages[{index}]") for index, message in enumerate(messages))
        if "content" in value:
            yield value, ""


def _message_marks(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if message.get("role") in _OPENAI_ROLES:
        yield OPENAI, "role"
    yield from ((OPENAI, key) for key in _OPENAI_KEYS if message.get(key) is not None)
    content = message.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        name = part.get("type") if isinstance(part, dict) else None
        if name in _OPENAI_PARTS:
            yield OPENAI, f"content[{index}]"
        elif isinstance(name, str) and name in _ANTHROPIC_BLOCKS:
            yield ANTHROPIC, f"content[{index}]"
