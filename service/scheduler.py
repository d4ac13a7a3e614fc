"""One bounded queue of windows for all requests, first in, first out, and fair between requests.

The threads take one window of each waiting request in turn, so a request of one window waits for as many windows as there are other
requests, not for as many as those hold. Each window is encoded alone: an answer cannot depend on what else is being scored.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from classifier.encoders import Floats
from classifier.records import Window

_LONGEST_WAIT = 60
_SMOOTHING = 16


class QueueFull(Exception):
    """There is no room for a request's windows. ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Stopped(Exception):
    """The scheduler was closed before the windows were encoded."""


@dataclass(slots=True, eq=False)
class _Job:
    """One request's windows. ``next`` is the first that no thread has taken, ``sums`` holds what has come back, by index."""

    windows: Sequence[Window]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[list[Floats]]
    next: int = 0
    sums: dict[int, Floats] = field(default_factory=dict)

    def settle(self, error: Exception | None = None) -> None:
        """Wake the request from whichever thread this is."""
        with suppress(RuntimeError):  # its event loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result([self.sums[i] for i in range(len(self.windows))])
        else:
            self.answer.set_exception(error)


class Scheduler:
    """Encodes windows in ``threads`` threads. ``encode`` maps one window to its sums and must be safe to call from all of them."""

    def __init__(
        self, encode: Callable[[Window], Floats], *, threads: int, capacity: int, scored: Callable[[], None] = lambda: None
    ) -> None:
        self._encode = encode
        self._capacity = capacity
        self._scored = scored
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._queued = 0
        self._pace = 0.0  # seconds a window takes, smoothed
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"encoder-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> int:
        """Windows that wait for a thread."""
        return self._queued

    def wait_seconds(self) -> int:
        """About how long the queue takes to drain, in whole seconds from 1 to 60."""
        return min(max(math.ceil(self._queued * self._pace / len(self._threads)), 1), _LONGEST_WAIT)

    async def encode(self, windows: Sequence[Window]) -> list[Floats]:
        """Sums of each window, in order. Cancelling the call takes its remaining windows out of the queue.

        Raises QueueFull where there is no room for all of them, Stopped where the scheduler was closed, and whatever a window raised.
        """
        if not windows:
            return []
        loop = asyncio.get_running_loop()
        job = _Job(windows, loop, loop.create_future())
        self._admit(job)
        try:
            return await job.answer
        finally:
            self._drop(job)

    def close(self) -> None:
        """Stop the threads; whoever still waits gets Stopped."""
        with self._changed:
            self._closed = True
            self._queued = 0
            waiting = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in waiting:
            job.settle(Stopped())

    def _admit(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise Stopped
            # An empty queue takes any request: one that is larger than the queue would otherwise be told to retry for ever.
            if self._queued and self._queued + len(job.windows) > self._capacity:
                raise QueueFull(self.wait_seconds())
            self._jobs.append(job)
            self._queued += len(job.windows)
            self._changed.notify(len(job.windows))

    def _drop(self, job: _Job) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._queued -= len(job.windows) - job.next

    def _work(self) -> None:
        while self._step():  # a call, so that an idle thread holds on to nobody's sums
            pass

    def _step(self) -> bool:
        """Encode one window; False once the scheduler is closed."""
        if (taken := self._take()) is None:
            return False
        job, index = taken
        started = time.perf_counter()
        try:
            sums = self._encode(job.windows[index])
        except Exception as error:  # whatever it is, it is this request's alone
            self._drop(job)
            job.settle(error)
        else:
            self._scored()
            self._keep(job, index, sums, time.perf_counter() - started)
        return True

    def _take(self) -> tuple[_Job, int] | None:
        """The next window of the request whose turn it is; waits for one. None once the scheduler is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if self._closed:
                return None
            job = self._jobs.popleft()
            index = job.next
            job.next += 1
            self._queued -= 1
            if job.next < len(job.windows):
                self._jobs.append(job)
            return job, index

    def _keep(self, job: _Job, index: int, sums: Floats, seconds: float) -> None:
        with self._changed:
            self._pace += (seconds - self._pace) / _SMOOTHING if self._pace else seconds
            job.sums[index] = sums
            complete = len(job.sums) == len(job.windows)
        if complete:
            job.settle()
