"""What a connection takes beside bodies, and how it ends."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service import schemas
from service.connection import HEADERS_LIMIT, LINGER_SECONDS
from service.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from tests.service.conftest import SECRET, TRACE
from tests.service.process import HEAD, Process, Start, answer, reply

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
BODY = json.dumps({"input": TRACE}).encode()
MEMORY = "process_resident_memory_bytes"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def process(model: Path) -> Iterator[Process]:
    with Process(model, 0) as process:
        yield process


def check(connection: socket.socket, kind: str) -> None:
    """The next response says that the connection ends, in a problem document of this kind."""
    response, body = reply(connection)
    document: dict[str, Any] = json.loads(body)
    schemas.Problem.model_validate(document)
    assert document["type"] == TYPE_PREFIX + kind
    assert response.status == document["status"] == KINDS[kind].status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"] == document["request_id"]
    assert SECRET not in body.decode()


def pour(connection: socket.socket, piece: bytes, times: int) -> None:
    """Send it so many times, or until the other side has had enough."""
    with suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(times):
            connection.sendall(piece)


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X-A: " + b"a" * HEADERS_LIMIT + b"\r\n\r\n",
        GET + b"X-A: a\r\n" * 20_000 + b"\r\n",
        GET + b"X-A: " + SECRET.encode() * 40_000,  # without an end
        b"GET /" + b"a" * HEADERS_LIMIT + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nX-A: " + b"a" * HEADERS_LIMIT + b"\r\n\r\nabcde",
        b"\r\n" * HEADERS_LIMIT,
    ],
    ids=["one", "many", "unfinished", "address", "with a body", "nothing"],
)
def test_headers_have_a_limit(process: Process, sent: bytes) -> None:
    with process.connect() as connection:
        connection.sendall(sent)
        check(connection, "headers-too-large")
    with process.connect() as connection:
        connection.sendall(GET + b"X-A: " + b"a" * (HEADERS_LIMIT - 200) + b"\r\n\r\n")
        assert reply(connection)[0].status == 200


@pytest.mark.parametrize(
    "begin",
    [
        GET + b"X-A: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5; x=",  # an extension of a chunk
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",  # a trailer
    ],
    ids=["header", "extension", "trailer"],
)
def test_endless_headers_take_no_memory(process: Process, begin: bytes) -> None:
    before = process.metric(MEMORY)
    with process.connect() as connection:
        pour(connection, begin, 1)
        pour(connection, b"a" * MIB, 100)
        with suppress(ConnectionResetError):
            answer(connection)
    assert process.metric(MEMORY) < before + 10 * MIB


def test_slow_headers(start: Start) -> None:
    process = start(0, body_seconds=0.5)
    with process.connect() as half, process.connect() as silent, process.connect() as second:
        half.sendall(GET)
        second.sendall(GET + b"\r\n")
        assert reply(second)[0].status == 200
        second.sendall(b"\r\nGE")
        check(half, "slow-headers")
        check(second, "slow-headers")
        assert answer(half) == answer(second) == answer(silent) == b""


def test_headers_in_time_are_not_slow(start: Start) -> None:
    """Neither the time to the answer counts, nor what an earlier request took."""
    process = start(0.8, body_seconds=0.7)
    with process.connect() as connection:
        for _ in range(2):
            connection.sendall(HEAD)
            time.sleep(0.4)
            connection.sendall(b"Content-Length: %d\r\n\r\n" % len(BODY))
            time.sleep(0.4)
            connection.sendall(BODY)
            assert reply(connection)[0].status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        SECRET.encode() + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
    ids=["TLS", "words", "chunk"],
)
def test_what_is_no_http(process: Process, sent: bytes) -> None:
    with process.connect() as connection:
        connection.sendall(sent)
        check(connection, "invalid-http")


def test_requests_one_behind_the_other(process: Process) -> None:
    post = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    with process.connect() as connection:
        connection.sendall(GET + b"\r\n" + post + GET + b"Content-Length: 3\r\n\r\nabc" + post + GET + b"Connection: close\r\n\r\n")
        assert answer(connection).count(b"HTTP/1.1 200 ") == 5


def refusal(process: Process, path: str, body: bytes) -> dict[str, Any]:
    """What Python's own client gets, which reads nothing before it has sent all, and has the connection closed."""
    request = urllib.request.Request(f"http://127.0.0.1:{process.port}{path}", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request, timeout=20):  # noqa: S310
        pass
    with refused.value as response:
        document: dict[str, Any] = json.load(response)
    return document


def test_simple_clients_read_why_a_body_is_refused(process: Process) -> None:
    for size in [9 * MIB] * 12 + [30 * MIB]:
        document = refusal(process, "/v1/classify", b" " * size)
        assert (document["type"], document["limit"]) == (TYPE_PREFIX + "body-too-large", 8 * MIB)
    assert refusal(process, "/nothing", b" " * 9 * MIB)["type"] == TYPE_PREFIX + "not-found"


def test_what_is_left_of_a_refused_request_is_read_for_a_while(start: Start) -> None:
    process = start(0, max_body_bytes=1000, max_held_bytes=100_000)
    with process.connect() as whole:
        whole.sendall(HEAD + b"Content-Length: 2000\r\n\r\n" + b" " * 2000)
        assert reply(whole)[0].status == 413
        whole.sendall(GET + b"\r\n")
        assert reply(whole)[0].status == 200
    with process.connect() as waiting:
        waiting.sendall(HEAD + b"Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n")
        assert waiting.recv(12) == b"HTTP/1.1 413"
    with process.connect() as slow:
        started = time.monotonic()
        slow.sendall(HEAD + b"Content-Length: 2000\r\n\r\n")
        assert reply(slow)[0].status == 413
        assert time.monotonic() - started < LINGER_SECONDS / 2
        assert answer(slow) == b""
        assert LINGER_SECONDS / 2 < time.monotonic() - started < 2 * LINGER_SECONDS
    with process.connect() as endless:
        started = time.monotonic()
        endless.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        pour(endless, b"2710\r\n" + b" " * 10_000 + b"\r\n", 100_000)
        assert time.monotonic() - started < LINGER_SECONDS
    assert process.client.get("/healthz").status_code == 200
