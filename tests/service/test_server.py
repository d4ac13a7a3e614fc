"""The service as a process: sockets, slow and departing clients, signals."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.service.conftest import SECRET, TRACE, windows_of
from tests.service.process import HEAD, Start, answer

QUEUED = "motives_windows_queued"
DEPARTED = 'motives_requests_total{route="/v1/classify",status="499"}'


def body_of(text: str) -> bytes:
    return json.dumps({"input": text}).encode()


def test_a_running_request_outlives_sigterm(start: Start) -> None:
    process = start(0.1)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(process.classify, f"{windows_of(40)} {SECRET}")
        process.wait_for(QUEUED)
        process.popen.send_signal(signal.SIGTERM)
        while process.client.get("/readyz").status_code != 503:
            time.sleep(0.02)
        assert process.client.get("/healthz").status_code == 200
        refused = process.classify(TRACE)
        assert refused.status_code == 503
        assert refused.headers["connection"] == "close"
        assert refused.json()["type"].endswith(":stopping")
        assert running.result().json()["usage"]["windows"] == 40
    log = process.log()
    assert process.popen.returncode == 0
    assert "Traceback" not in log
    assert SECRET not in log


def test_the_grace_period_ends(start: Start) -> None:
    process = start(0.1, grace_seconds=0.5)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(process.classify, windows_of(1000))
        process.wait_for(QUEUED)
        process.popen.send_signal(signal.SIGINT)
        assert running.result().json()["type"].endswith(":stopping")
    assert "Traceback" not in process.log()
    assert process.popen.returncode == 0


def test_clients_that_are_slow_or_go_away(start: Start) -> None:
    process = start(0.02, body_seconds=1, max_body_bytes=100_000)
    slow = process.connect()
    slow.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")

    # A body without Content-Length is counted as it comes.
    with process.connect() as chunked:
        body = body_of(TRACE)
        chunked.sendall(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert answer(chunked).startswith(b"HTTP/1.1 200 ")
    with process.connect() as endless:
        endless.sendall(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"2710\r\n" + b" " * 10_000 + b"\r\n") * 11)
        assert endless.recv(65536).startswith(b"HTTP/1.1 413 ")

    # Who leaves takes his windows along.
    gone = process.connect()
    gone.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body_of(windows_of(200))) + body_of(windows_of(200)))
    process.wait_for(QUEUED)
    gone.close()
    process.wait_for(DEPARTED, 1)
    assert process.metric(QUEUED) == 0
    assert process.metric("motives_windows_scored_total") < 150

    # Who leaves while sending is no error either.
    with process.connect() as halfway:
        halfway.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    process.wait_for(DEPARTED, 2)

    with slow:
        assert answer(slow).startswith(b"HTTP/1.1 408 ")
    response = process.client.get("/healthz")
    assert "server" not in response.headers
    process.popen.send_signal(signal.SIGTERM)
    assert "Traceback" not in process.log()
    assert process.popen.returncode == 0


def test_it_starts_quickly_and_stays_small(start: Start) -> None:
    process = start(0)
    assert process.ready_after < 5  # two seconds on a machine that nobody else uses
    assert process.classify([TRACE] * 100).status_code == 200
    assert process.metric("process_resident_memory_bytes") < 250 * 1024 * 1024
