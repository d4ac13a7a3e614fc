"""OpenAI chat: request messages, chat completions, and the output items of the Responses API.

Fields beside the content (``reasoning_content``, ``reasoning``, ``refusal``, tool calls) make segments whose offsets index that
field and whose block is None. A tool call makes two segments, its name and its arguments; arguments that were decoded already are
written as compact JSON, as the ``:json`` at the end of their field says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from classifier.formats.chat import OPENAI, is_chat, marks, refuse_foreign
from classifier.formats.fields import (
    REFORMAT,
    FormatError,
    Notes,
    at,
    choice_of,
    kind,
    list_of,
    object_of,
    spoken,
    text_of,
    transcript,
    turn,
    whole,
    written,
)
from classifier.records import Channel, Message, Segment, Transcript

_CHANNELS: dict[str, Channel] = {
    "system": "prompt",
    "developer": "prompt",
    "user": "prompt",
    "assistant": "answer",
    "tool": "tool_result",
    "function": "tool_result",
}
_REASONING = ("reasoning_content", "reasoning")  # DeepSeek and vLLM; OpenRouter and newer vLLM
_BESIDE_CONTENT = (*_REASONING, "refusal", "tool_calls", "function_call")
_SETTINGS = {
    "id",
    "object",
    "created",
    "created_at",
    "completed_at",
    "model",
    "usage",
    "status",
    "type",
    "system_fingerprint",
    "service_tier",
}
_RECORD_KEYS = frozenset({"messages", "choices", "output", "metadata", *_SETTINGS})
_MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_call_id", "phase", *_BESIDE_CONTENT, *_SETTINGS})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})

_Read = Callable[[object, str, int | None, Notes], Message]


def claims(value: object) -> bool:
    """Whether the value is a chat that bears a mark of this style, or no mark at all."""
    return is_chat(value) and (OPENAI in (found := marks(value)) or not found)


def parse(value: object, id: str) -> Transcript:
    """Read ``{"messages"}``, the bare list, ``{"choices"}`` (a request's messages may stand beside it) or ``{"output"}``.

    Raises FormatError with the path of what it cannot read. Of several choices the first is read, the others are lossy.
    """
    refuse_foreign(value, OPENAI)
    notes = Notes()
    messages = [read(item, where, index, notes) for index, (item, where, read) in enumerate(_items(value, notes))]
    if not messages:
        raise FormatError("record", "holds no message: expected messages, choices or output")
    record = value if isinstance(value, dict) else {}
    notes.lose_unknown(record, _RECORD_KEYS)
    return transcript(record, id, messages, notes)


def message(value: object, where: str, index: int | None, notes: Notes) -> Message:
    """Read one message that stands at ``where``, the ``index``-th of its list. Raises FormatError."""
    record = object_of(value, where)
    role = choice_of(record, "role", _CHANNELS, where)
    notes.lose_unknown(record, _MESSAGE_KEYS)
    content = record.get("content")
    if role != "assistant":
        return turn(role, _content(content, at(where, "content"), _CHANNELS[role], notes), where, index)
    if content is None and ("content" in record or any(record.get(key) for key in _BESIDE_CONTENT)):
        content = ""
    said = _content(content, at(where, "content"), "answer", notes)
    return turn(role, (*_thoughts(record, where), *said, *_refusal(record, where), *_calls(record, where, notes)), where, index)


def _items(value: object, notes: Notes) -> Iterator[tuple[Any, str, _Read]]:
    """Every message of the value in order, with its path and what reads it."""
    if isinstance(value, list):
        yield from ((item, f"[{index}]", message) for index, item in enumerate(value))
        return
    record = object_of(value, "record", REFORMAT)
    for index, item in enumerate(_listed(record, "messages", "")):
        yield item, f"messages[{index}]", message
    choices = _listed(record, "choices", "")
    if choices:
        yield object_of(choices[0], "choices[0]").get("message"), "choices[0].message", message
    if len(choices) > 1:
        notes.lose("choices[1:]")
    for index, item in enumerate(_listed(record, "output", "")):
        yield item, f"output[{index}]", _output_item


def _listed(record: dict[str, Any], key: str, where: str) -> list[Any]:
    value = record.get(key)
    return [] if value is None else list_of(value, at(where, key))


def _output_item(value: object, where: str, index: int | None, notes: Notes) -> Message:
    item = object_of(value, where)
    name = text_of(item.get("type"), at(where, "type"))
    if name == "message":
        return message(item, where, index, notes)
    if name == "reasoning":
        return turn("assistant", _reasoning_item(item, where, None, notes), where, index)
    if name == "function_call":
        return turn("assistant", _call(item, where), where, index)
    if name == "function_call_output":
        return turn("tool", _content(item.get("output"), at(where, "output"), "tool_result", notes), where, index)
    notes.lose(name)
    return Message("assistant", (), index)


def _content(value: object, where: str, channel: Channel, notes: Notes) -> tuple[Segment, ...]:
    """Read a string, or a list of content parts."""
    if isinstance(value, str):
        return spoken(channel, value, where)
    if not isinstance(value, list):
        raise FormatError(where, f"expected a string or a list of content parts, found {kind(value)}")
    segments: list[Segment] = []
    for index, part in enumerate(value):
        segments += _part(object_of(part, f"{where}[{index}]"), f"{where}[{index}]", index, channel, notes)
    return tuple(segments)


def _part(part: dict[str, Any], where: str, block: int, channel: Channel, notes: Notes) -> tuple[Segment, ...]:
    name = text_of(part.get("type"), at(where, "type"))
    if name in _TEXT_PARTS:
        return spoken(channel, part.get("text"), at(where, "text"), block)
    if name == "refusal":
        return whole("answer", part.get("refusal"), at(where, "refusal"), block)
    if name == "reasoning":
        return _reasoning_item(part, where, block, notes)
    notes.lose(name)
    return ()


def _reasoning_item(item: dict[str, Any], where: str, block: int | None, notes: Notes) -> tuple[Segment, ...]:
    """Read a Responses item's reasoning, else its summary; where the item is no block itself, its parts are."""
    key = "content" if item.get("content") else "summary"
    segments: list[Segment] = []
    for index, part in enumerate(_listed(item, key, where)):
        place = f"{at(where, key)}[{index}]"
        segments += whole("reasoning", object_of(part, place).get("text"), at(place, "text"), index if block is None else block)
    if not segments:
        notes.redacted = True
    elif key == "summary":
        notes.summarised = True
    return tuple(segments)


def _thoughts(record: dict[str, Any], where: str) -> tuple[Segment, ...]:
    """Reasoning fields; a server that sends the same text under both names is heard once."""
    texts = {key: record[key] for key in _REASONING if record.get(key) is not None}
    if len(texts) == 2 and texts["reasoning"] == texts["reasoning_content"]:
        del texts["reasoning"]
    return tuple(segment for key, text in texts.items() for segment in whole("reasoning", text, at(where, key)))


def _refusal(record: dict[str, Any], where: str) -> tuple[Segment, ...]:
    refusal = record.get("refusal")
    return () if refusal is None else whole("answer", refusal, at(where, "refusal"))


def _calls(record: dict[str, Any], where: str, notes: Notes) -> Iterator[Segment]:
    """Segments of ``tool_calls``, and of ``function_call``, their predecessor."""
    if record.get("function_call") is not None:
        yield from _call(object_of(record["function_call"], at(where, "function_call")), at(where, "function_call"))
    for index, value in enumerate(_listed(record, "tool_calls", where)):
        place = f"{at(where, 'tool_calls')}[{index}]"
        call = object_of(value, place)
        if "function" in call:
            yield from _call(object_of(call["function"], at(place, "function")), at(place, "function"))
        else:
            notes.lose(text_of(call.get("type"), at(place, "type")))


def _call(call: dict[str, Any], where: str) -> tuple[Segment, ...]:
    """Name and arguments."""
    name, arguments = whole("tool_call", call.get("name"), at(where, "name")), call.get("arguments")
    if arguments is None:
        return name
    return (*name, *(written if isinstance(arguments, dict) else whole)("tool_call", arguments, at(where, "arguments")))
