"""Whatever is sent, the answer is an answer or a problem that repeats nothing of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import schemas
from service.settings import Settings
from tests.service.conftest import SECRET, TRACE, serving

Send = Callable[[bytes], httpx.Response]

# fmt: off
KEYS = st.sampled_from([
    "id", "messages", "metadata", "system_prompt", "user", "reasoning", "answer", "role", "content", "type", "text", "thinking", "from",
    "value", "conversations", "system", "choices", "message", "output", "tool_calls", "function", "name", "arguments", "input",
    "tool_use_id", "reasoning_content", "stop_reason", "index",
])
# fmt: on
STRINGS = st.sampled_from(
    [TRACE, SECRET, "", "\x00", "\ud800", "assistant", "user", "text", "thinking", "tool_use", "gpt", "system", "<think>x"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, STRINGS), inner, max_size=5)),
    max_leaves=20,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": STRINGS, "content": VALUES}, optional={"tool_calls": VALUES, "thinking": VALUES}), max_size=4
)
RECORDS = st.one_of(VALUES, MESSAGES, st.fixed_dictionaries({"messages": MESSAGES}, optional={"id": VALUES, "metadata": VALUES}))
FORMATS = st.sampled_from([None, "text", "own", "openai", "anthropic", "sharegpt"])


@pytest.fixture(scope="module")
def send(model: Path) -> Iterator[Send]:
    """Posts a body and checks what every response must have, whatever was sent."""
    with asyncio.Runner() as runner:
        app = serving(Settings(model=model, max_items=4))
        served = runner.run(app.__aenter__())

        def post(body: bytes) -> httpx.Response:
            headers = {"Content-Type": "application/json"}
            response = runner.run(served.client.post("/v1/classify", content=body, headers=headers))
            if response.status_code == 200:
                schemas.ClassifyResponse.model_validate_json(response.content, strict=True)
            else:
                assert response.status_code in {400, 413, 422}, response.text
                schemas.Problem.model_validate_json(response.content)
                assert SECRET not in response.text
            return response

        yield post
        runner.run(app.__aexit__(None, None, None))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(record=RECORDS, format=FORMATS)
def test_any_record(send: Send, caplog: pytest.LogCaptureFixture, record: object, format: str | None) -> None:
    caplog.set_level(logging.INFO)
    send(json.dumps({"input": record, "format": format}).encode())
    send(json.dumps({"input": [TRACE, record], "format": format}).encode())
    assert SECRET not in caplog.text


@settings(deadline=None, max_examples=100)
@given(body=VALUES)
def test_any_json(send: Send, body: object) -> None:
    send(json.dumps(body).encode())


@settings(deadline=None, max_examples=100)
@given(body=st.binary(max_size=200))
def test_any_bytes(send: Send, body: bytes) -> None:
    assert send(body).status_code in {400, 422}


@settings(deadline=None, max_examples=100)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text(send: Send, text: str) -> None:
    response = send(json.dumps({"input": [f"{text} I will comply."]}).encode())
    assert response.status_code == 200
    for label in response.json()["results"][0]["labels"].values():
        for evidence in label["evidence"] if label else ():
            assert f"{text} I will comply."[evidence["start"] : evidence["end"]] == evidence["text"]


@pytest.mark.parametrize("text", ["A" * 900_000, "😀" * 200_000, ". " * 100_000, "\n" * 500_000, "<think>" * 100_000, "a.\u200b" * 60_000])
def test_extreme_text(send: Send, text: str) -> None:
    assert send(json.dumps({"input": text}).encode()).status_code in {200, 413}
