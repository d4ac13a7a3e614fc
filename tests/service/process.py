"""The service as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Self

import httpx

ROOT = Path(__file__).parents[2]
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


class Process:
    """A running service and what it wrote."""

    def __init__(self, model: Path, seconds: float, **settings: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        given = {f"MOTIVES_{key.upper()}": str(value) for key, value in {"model": model, "port": self.port, **settings}.items()}
        command = [sys.executable, "-m", "tests.service.slow_server", str(seconds)]
        self.started = time.monotonic()
        self.popen = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        self.ready_after = self._wait()

    def _wait(self) -> float:
        while self.popen.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(self.log())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self.popen.kill()
        self.popen.communicate()

    def log(self) -> str:
        """Everything that it wrote, once it has ended."""
        return self.popen.communicate(timeout=20)[0].decode()

    def classify(self, input: object) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}/v1/classify", json={"input": input}, timeout=20)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def metric(self, name: str) -> float:
        """The value of one series, 0 where there is none."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    def wait_for(self, metric: str, value: float = 1) -> None:
        """Wait until the series has at least this value."""
        ends = time.monotonic() + 15
        while self.metric(metric) < value:
            assert time.monotonic() < ends, f"{metric} is {self.metric(metric)}"
            time.sleep(0.02)


Start = Callable[..., Process]


def reply(connection: socket.socket) -> tuple[HTTPResponse, bytes]:
    """The next response, and its body."""
    response = HTTPResponse(connection)
    response.begin()
    with response:
        return response, response.read()


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    while more := connection.recv(65536):
        received += more
    return received
