"""Processes under measurement: servers and workers, the CPU time and memory that they use, and what the rest of the machine used."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

_HERE = Path(__file__).resolve().parent
_START_TIMEOUT = 120
_STOP_TIMEOUT = 15
_POLL = 0.005


class Process:
    """A started command with all its children. As a context it is stopped at the end."""

    def __init__(self, command: Sequence[str], **streams: Any) -> None:
        self._popen: subprocess.Popen[str] = subprocess.Popen(command, text=True, **streams)
        self._root = psutil.Process(self._popen.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(BrokenPipeError), self._popen:  # a worker that gave up reads no more
            self._popen.terminate()
            try:
                self._popen.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._popen.kill()

    def cpu_seconds(self) -> float:
        """User and system time since the start."""
        ended = self._root.cpu_times()
        times = [process.cpu_times() for process in self._family()]
        return float(ended.children_user + ended.children_system + sum(t.user + t.system for t in times))

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return sum(process.memory_info().rss for process in self._family())

    def _family(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


class Server(Process):
    """An HTTP server, started and ready. ``command`` takes ``--port``; ``ready_seconds`` is what passed until /readyz answered 200."""

    def __init__(self, *command: str) -> None:
        self.port = _free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server does
        started = time.perf_counter()
        super().__init__([*command, "--port", str(self.port)], stdout=self._log, stderr=subprocess.STDOUT)
        try:
            while not self._ready():
                self._check(time.perf_counter() - started)
                time.sleep(_POLL)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.ready_seconds = time.perf_counter() - started

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self._log.close()

    def _ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_START_TIMEOUT)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _check(self, waited: float) -> None:
        """Raise RuntimeError with the end of its log where there is nothing left to wait for."""
        if self._popen.poll() is not None or waited > _START_TIMEOUT:
            self._log.seek(0)
            log = self._log.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{self._popen.args!r} did not become ready in {waited:.0f} s; it said:\n{log}")


class Worker(Process):
    """One of the scripts beside this file, which answers each line of JSON with another."""

    def __init__(self, script: str, *arguments: str) -> None:
        super().__init__([sys.executable, str(_HERE / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **job: object) -> dict[str, Any]:
        """The worker's answer. Raises RuntimeError where it gave up; why is on standard error then."""
        if self._popen.stdin is None or self._popen.stdout is None:
            raise RuntimeError("a worker needs both pipes")
        with suppress(BrokenPipeError):
            self._popen.stdin.write(json.dumps(job) + "\n")
            self._popen.stdin.flush()
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._popen.args!r} gave up")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Foreign:
    """Share of all cores' time that went to processes other than ``own`` and this one since the object was made."""

    def __init__(self, own: Sequence[Process]) -> None:
        self._own = own
        self._before = self._now()

    def share(self) -> float:
        """Between 0 and 1. What a hypervisor took counts as foreign too."""
        busy, total, own = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return max(0.0, busy - own) / total

    def _now(self) -> tuple[float, float, float]:
        """CPU seconds since boot: busy, all, and those of our own processes."""
        machine = psutil.cpu_times()
        # Linux counts the time of guests twice, in user and in guest.
        total = sum(machine) - getattr(machine, "guest", 0) - getattr(machine, "guest_nice", 0)
        this = psutil.Process().cpu_times()
        own = this.user + this.system + sum(process.cpu_seconds() for process in self._own)
        return total - machine.idle - getattr(machine, "iowait", 0), total, own


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
