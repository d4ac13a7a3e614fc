"""The clients: threads that keep one connection each and send one request after the other, in a process of their own.

Reads jobs from standard input and answers each with one line, so that starting up costs no measured time:
{"port": 8000, "clients": 8, "requests": 160} -> {"seconds": 3.4, "latencies": [0.17, ...], "tokens": 104480}
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import count, cycle, islice
from typing import Any

from texts import transcripts

_TIMEOUT = 300
_HEADERS = {"Content-Type": "application/json"}


class Unusable(Exception):
    """An answer that is not 200, or does not cover the whole text."""


class Load:
    """One job: a fixed list of requests that the clients share out among themselves."""

    def __init__(self, port: int, clients: int, requests: int) -> None:
        bodies = [json.dumps({"input": text}).encode() for text in transcripts()]
        self._bodies = list(islice(cycle(bodies), requests))
        self._port, self._clients = port, clients
        self._turns = count()
        self._latencies: list[float] = []
        self._answers: list[tuple[int, bytes]] = []

    def run(self) -> dict[str, Any]:
        """Send everything, and check the answers once the clock has stopped."""
        barrier = threading.Barrier(self._clients + 1, timeout=_TIMEOUT)
        with ThreadPoolExecutor(self._clients) as pool:
            clients = [pool.submit(self._client, barrier) for _ in range(self._clients)]
            barrier.wait()
            started = time.perf_counter()
            for client in clients:
                client.result()
            seconds = time.perf_counter() - started
        return {"seconds": seconds, "latencies": self._latencies, "tokens": sum(_tokens(*answer) for answer in self._answers)}

    def _client(self, barrier: threading.Barrier) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        connection.connect()
        barrier.wait()
        while (turn := next(self._turns)) < len(self._bodies):
            started = time.perf_counter()
            try:
                answer = _post(connection, self._bodies[turn])
            except ConnectionError:  # uvicorn closes what it believes idle for 5 s, even where a late event loop only overlooked a request
                connection.close()
                answer = _post(connection, self._bodies[turn])
            self._latencies.append(time.perf_counter() - started)
            self._answers.append(answer)
        connection.close()


def _post(connection: HTTPConnection, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/v1/classify", body, _HEADERS)
    response = connection.getresponse()
    return response.status, response.read()


def _tokens(status: int, body: bytes) -> int:
    """Number of tokens that an answer of either server says it read. Raises Unusable."""
    if status != 200:
        raise Unusable(f"status {status}: {body[:200]!r}")
    answer = json.loads(body)
    (result,) = answer.get("results", [answer])
    if result["coverage"] != 1.0 or result.get("status") == "unscored":
        raise Unusable(f"coverage {result['coverage']}, status {result.get('status')}")
    tokens = result["usage"]["tokens"] if "usage" in result else result["tokens"]
    return int(tokens)


def main() -> None:
    """One line out for each line in."""
    for line in sys.stdin:
        print(json.dumps(Load(**json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    main()
