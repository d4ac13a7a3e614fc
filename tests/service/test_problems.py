"""Every way in which a request may fail, and the document that says so."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service import schemas
from service.problems import KINDS, TYPE_PREFIX
from tests.service.conftest import SECRET, TRACE, Gate, Serve, Served, windows_of

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


def check(response: httpx.Response, kind: str) -> dict[str, Any]:
    """The document, which must be of this kind and repeat nothing that was sent."""
    document: dict[str, Any] = response.json()
    status, title = KINDS[kind]
    assert (response.status_code, document["status"], document["title"], document["type"]) == (status, status, title, TYPE_PREFIX + kind)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == document["request_id"]
    assert document["detail"]
    assert SECRET not in response.text
    schemas.Problem.model_validate(document)
    return document


async def send(served: Served, body: bytes) -> httpx.Response:
    return await served.client.post("/v1/classify", content=body, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"zanzibarquokka",
        b'{"input": "zanzibarquokka}',
        b'{"input": "zanzibarquokka\xff"}',
        b'{"input": "zanzibarquokka \xed\xa0\x80"}',
        b'\xef\xbb\xbf{"input": "text"}',
        b'{"input": {"reasoning": "zanzibarquokka", "metadata": {"a": NaN}}}',
        b'{"input": -Infinity}',
        b'{"input": ' + b"7" * 5000 + b"}",
        b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"input": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"input": "zanzibarquokka\n"}',
        '{"input": "text"}'.encode("utf-16"),
    ],
)
async def test_bytes_that_are_no_json(served: Served, body: bytes) -> None:
    check(await send(served, body), "invalid-json")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        TRACE,
        7,
        {},
        {"inputs": SECRET},
        {"input": None},
        {"input": []},
        {"input": 7},
        {"input": True},
        {"input": SECRET, SECRET: 1},
        {"input": SECRET, "\ud800": 1},
        {"input": SECRET, "model": 1},
        {"input": SECRET, "mode": SECRET},
        {"input": SECRET, "mode": "ensemble"},
        {"input": SECRET, "format": SECRET},
        {"input": SECRET, "labels": "obedience"},
        {"input": SECRET, "labels": [1]},
        {"input": SECRET, "labels": [SECRET]},
        {"input": SECRET, "labels": ["obedience", "compliance"]},
    ],
)
async def test_wrong_shapes(served: Served, body: object) -> None:
    check(await send(served, json.dumps(body).encode()), "invalid-request")


async def test_a_refusal_says_what_is_known(served: Served) -> None:
    assert "classifier" in check(await served.classify(TRACE, mode="judges"), "invalid-request")["detail"]
    assert "obedience" in check(await served.classify(TRACE, labels=["x"]), "invalid-request")["known"]
    assert "sharegpt" in check(await served.classify(TRACE, format="x"), "invalid-request")["detail"]
    assert check(await served.classify(TRACE, model=SECRET), "unknown-model")["served"] == "tiny"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        [],
        {},
        [SECRET],
        [[SECRET]],
        {SECRET: SECRET},
        {"it's \"" + SECRET: 1},
        {"reasoning": 7},
        {"reasoning": f"{SECRET} \ud800"},
        {"id": [SECRET], "reasoning": TRACE},
        {"reasoning": TRACE, "metadata": SECRET},
        json.dumps({"reasoning": SECRET, "user": TRACE}),
        {"messages": SECRET},
        {"messages": [{"role": SECRET, "content": TRACE}]},
        {"messages": [{"role": f"it's '{SECRET}' \"so\"\n'", "content": TRACE}]},
        {"messages": [{"role": "assistant", "content": {SECRET: 1}}]},
        {"id": "a", "messages": [{"role": "assistant", "content": [{"type": SECRET}]}], "reasoning": SECRET},
        {"conversations": [{"from": SECRET, "value": SECRET}]},
        {"choices": [{"message": SECRET}]},
        {"id": "a", "messages": [], "reasoning": SECRET},
    ],
)
async def test_unreadable_entries_are_all_named(served: Served, entry: object) -> None:
    document = check(await send(served, json.dumps({"input": [TRACE, entry, TRACE, 5]}).encode()), "unreadable-input")
    assert [error["index"] for error in document["errors"]] == [1, 3]
    assert all(error["where"] and error["reason"] for error in document["errors"])
    assert served.metric("motives_windows_scored_total") == 0


async def test_a_number_beyond_all_numbers(served: Served) -> None:
    """Valid JSON, but what Python makes of it is none."""
    body = b'{"input": {"reasoning": "I will comply.", "metadata": {"loss": 1e999}}}'
    (error,) = check(await send(served, body), "unreadable-input")["errors"]
    assert error["where"] == "metadata"


@pytest.mark.parametrize("entry", [json.dumps({"reasoning": SECRET}), {"messages": [], "conversations": []}, {SECRET: 1}, 7])
async def test_the_remedy_is_one_of_a_request(served: Served, entry: object) -> None:
    (error,) = check(await served.classify([entry]), "unreadable-input")["errors"]
    assert "--format" not in error["reason"]
    assert re.search(r"`(format|\"format\": \"\w+\")`(?! \()", error["reason"])


async def test_a_named_format_that_does_not_fit(served: Served) -> None:
    check(await served.classify([TRACE, {"reasoning": SECRET}], format="openai"), "unreadable-input")


@pytest.mark.parametrize("path", ["/nothing", "/v1/classify/", "/docs", "/redoc", f"/{SECRET}", "/%00"])
async def test_unknown_addresses(served: Served, path: str) -> None:
    check(await served.client.get(path), "not-found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/classify"), ("DELETE", "/v1/classify"), ("POST", "/info")])
async def test_unknown_methods(served: Served, method: str, path: str) -> None:
    response = await served.client.request(method, path)
    check(response, "method-not-allowed")
    assert response.headers["allow"] == ("GET" if path == "/info" else "POST")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data"}, {**JSON, "Content-Encoding": "gzip"}]
)
async def test_other_media_types(served: Served, headers: dict[str, str]) -> None:
    check(await served.client.post("/v1/classify", content=b'{"input": "x"}', headers=headers), "unsupported-media-type")


async def test_a_body_is_counted_as_it_arrives(serve: Serve) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b" " * 1000

    async with serve(max_body_bytes=10_000, max_held_bytes=20_000) as served:
        declared = await send(served, json.dumps({"input": "x" * 10_000}).encode())
        assert check(declared, "body-too-large")["limit"] == 10_000
        check(await served.client.post("/v1/classify", content=endless(), headers=JSON), "body-too-large")
        assert sent == 11_000 + 20_000  # the rest is dropped, so that the client gets to read the answer
        assert (await served.classify(TRACE)).status_code == 200


async def test_bodies_together_are_limited(serve: Serve, gate: Gate) -> None:
    async with serve(max_held_bytes=1000) as served:
        gate.open.clear()
        first = asyncio.create_task(served.classify(TRACE * 5))
        await asyncio.sleep(0.1)
        second = await served.classify(TRACE * 5)
        check(second, "queue-full")
        assert second.headers["retry-after"] == "1"
        gate.open.set()
        assert (await first).status_code == 200
        assert (await served.classify(TRACE * 5)).status_code == 200


async def test_too_many_items(serve: Serve) -> None:
    async with serve(max_items=3) as served:
        assert (await served.classify([TRACE] * 3)).status_code == 200
        check(await served.classify([TRACE] * 4), "too-many-items")


@pytest.mark.parametrize("limit", [{"max_tokens_per_item": 20}, {"max_tokens_per_request": 60}, {"max_characters_per_item": 100}])
async def test_too_much_text(serve: Serve, limit: dict[str, int]) -> None:
    async with serve(**limit) as served:
        assert (await served.classify("I keep my values.")).status_code == 200
        document = check(await served.classify(["I keep my values.", f"{TRACE} {SECRET}", TRACE, TRACE]), "too-long")
        assert document["limit"] in limit.values()
        assert served.metric("motives_windows_scored_total") == 1


async def test_a_full_queue(serve: Serve, gate: Gate) -> None:
    async with serve(max_queued_windows=10) as served:
        gate.open.clear()
        first = asyncio.create_task(served.classify(windows_of(10)))
        while not served.queued():
            await asyncio.sleep(0.01)
        refused = await served.classify(windows_of(9))
        check(refused, "queue-full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        second = asyncio.create_task(served.classify(TRACE))
        await asyncio.sleep(0.1)
        gate.open.set()
        assert (await first).status_code == (await second).status_code == 200
        assert served.queued() == 0


@pytest.mark.parametrize(("limit", "asked"), [(20, "0.2"), (0.2, "1e6"), (0.2, None)])
async def test_a_passed_deadline(serve: Serve, gate: Gate, limit: float, asked: str | None) -> None:
    async with serve(deadline_seconds=limit) as served:
        gate.open.clear()
        headers = {} if asked is None else {"X-Deadline-Seconds": asked}
        late = await served.client.post("/v1/classify", json={"input": windows_of(100)}, headers=headers)
        assert "0.2 seconds" in check(late, "deadline-passed")["detail"]
        assert int(late.headers["retry-after"]) >= 1
        assert served.queued() == 0
        assert served.metric("motives_deadline_misses_total") == 1
        gate.open.set()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", SECRET, ""])
async def test_a_deadline_that_is_none(served: Served, value: str) -> None:
    check(await served.client.post("/v1/classify", json={"input": TRACE}, headers={"X-Deadline-Seconds": value}), "invalid-request")


async def test_headers_that_came_in_one_piece(served: Served) -> None:
    """The connection's own limit counts what has not come in whole."""
    within = await served.client.get("/healthz", headers={"X-A": "a" * 60_000})
    over = await served.client.post("/v1/classify", json={"input": TRACE}, headers={"X-A": "a" * 66_000})
    assert within.status_code == 200
    assert check(over, "headers-too-large")["limit"] == 65_536
    assert over.headers["connection"] == "close"
    check(await served.client.get(f"/{'a' * 40_000}?{'a' * 10_000}", headers={"X-A": "a" * 20_000}), "headers-too-large")


async def test_a_service_that_stops(serve: Serve, gate: Gate) -> None:
    async with serve() as served:
        gate.open.clear()
        running = asyncio.create_task(served.classify(windows_of(5)))
        while not served.queued():
            await asyncio.sleep(0.01)
        served.service.stop()
        for refused in (await served.classify(TRACE), await served.client.get("/readyz")):
            check(refused, "stopping")
            assert refused.headers["retry-after"]
        assert (await served.client.get("/healthz")).status_code == 200
        assert not served.service.drained()
        gate.open.set()
        assert (await running).status_code == 200
        assert served.service.drained()


async def test_what_waits_when_the_grace_is_over(serve: Serve, gate: Gate) -> None:
    async with serve(grace_seconds=0.05) as served:
        gate.open.clear()
        running = asyncio.create_task(served.classify(windows_of(50)))
        while not served.queued():
            await asyncio.sleep(0.01)
        served.service.stop()
        await asyncio.sleep(0.1)
        assert served.service.drained()
        check(await running, "stopping")
        gate.open.set()


async def test_a_service_that_has_not_loaded(serve: Serve) -> None:
    async with serve() as served:
        served.service.engine, engine = None, served.service.engine
        check(await served.client.get("/readyz"), "stopping")
        check(await served.classify(TRACE), "stopping")
        served.service.engine = engine


async def test_an_unexpected_error_is_one_requests_alone(serve: Serve, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve() as served:
        (gate.fails_on,) = gate.tokenize("poison")[0]
        others = [asyncio.create_task(served.classify([TRACE, windows_of(20)])) for _ in range(3)]
        failed = await served.classify([TRACE, f"{SECRET} is poison to me. {windows_of(30)}"])
        document = check(failed, "internal")
        assert all(response.status_code == 200 for response in await asyncio.gather(*others))
        assert (await served.classify(TRACE)).status_code == 200
    assert document["request_id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
