"""The queue of windows: bounded, fair, and never lossy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from classifier.encoders import Floats
from classifier.records import Window
from service.scheduler import QueueFull, Scheduler, Stopped

pytestmark = pytest.mark.anyio


class Recorder:
    """An encoder that notes the order of its windows, and works only while it is let."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.may_work = threading.Event()
        self.failing = -1

    def __call__(self, window: Window) -> Floats:
        assert self.may_work.wait(10)
        self.seen.append(window.ids[0])
        if window.ids[0] == self.failing:
            raise ValueError("no")
        return np.full((1, 1), window.ids[0], dtype=np.float32)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def scheduler(recorder: Recorder) -> Iterator[Scheduler]:
    scheduler = Scheduler(recorder, threads=1, capacity=3000)
    yield scheduler
    recorder.may_work.set()
    scheduler.close()


def windows(*ids: int) -> list[Window]:
    return [Window((i,), 0, 1, (1,)) for i in ids]


async def start(scheduler: Scheduler, *ids: int) -> asyncio.Task[list[Floats]]:
    """Admit the windows, and let the thread take what it can."""
    task = asyncio.create_task(scheduler.encode(windows(*ids)))
    await asyncio.sleep(0.05)
    return task


async def values(task: asyncio.Task[list[Floats]]) -> list[int]:
    return [int(sums[0, 0]) for sums in await task]


async def test_results_come_in_order(scheduler: Scheduler, recorder: Recorder) -> None:
    task = await start(scheduler, *range(100))
    recorder.may_work.set()
    assert await values(task) == list(range(100))
    assert scheduler.queued == 0
    assert await scheduler.encode([]) == []


async def test_turns_go_round_the_requests(scheduler: Scheduler, recorder: Recorder) -> None:
    tasks = [await start(scheduler, *ids) for ids in ((1, 2, 3, 4, 5), (11, 12), (21,))]
    recorder.may_work.set()
    assert [await values(task) for task in tasks] == [[1, 2, 3, 4, 5], [11, 12], [21]]
    assert recorder.seen == [1, 2, 11, 21, 3, 12, 4, 5]


async def test_a_small_request_waits_for_a_few_windows_of_a_large_one(scheduler: Scheduler, recorder: Recorder) -> None:
    large = await start(scheduler, *range(2000))
    small = await start(scheduler, 5000)
    recorder.may_work.set()
    await small
    await large
    assert recorder.seen.index(5000) <= 3


async def test_all_windows_are_admitted_or_none(scheduler: Scheduler, recorder: Recorder) -> None:
    first = await start(scheduler, *range(2001))
    with pytest.raises(QueueFull):
        await scheduler.encode(windows(*range(1001)))
    assert scheduler.queued == 2000
    second = await start(scheduler, *range(1000))
    assert scheduler.queued == 3000
    recorder.may_work.set()
    assert (len(await first), len(await second)) == (2001, 1000)


async def test_an_empty_queue_takes_any_request(scheduler: Scheduler, recorder: Recorder) -> None:
    recorder.may_work.set()
    assert len(await scheduler.encode(windows(*range(5000)))) == 5000


async def test_a_cancelled_request_leaves_the_queue(scheduler: Scheduler, recorder: Recorder) -> None:
    first, second = await start(scheduler, *range(100)), await start(scheduler, 200, 201)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert scheduler.queued == 2
    recorder.may_work.set()
    assert await values(second) == [200, 201]
    assert recorder.seen == [0, 200, 201]


async def test_a_window_that_fails_fails_its_request_alone(scheduler: Scheduler, recorder: Recorder) -> None:
    recorder.failing = 2
    failing, other = await start(scheduler, *range(100)), await start(scheduler, 200, 201)
    recorder.may_work.set()
    with pytest.raises(ValueError, match="no"):
        await failing
    assert await values(other) == [200, 201]
    assert scheduler.queued == 0
    assert len(recorder.seen) < 10


async def test_closing_tells_who_waits(scheduler: Scheduler, recorder: Recorder) -> None:
    task = await start(scheduler, 1, 2, 3)
    scheduler.close()
    with pytest.raises(Stopped):
        await task
    with pytest.raises(Stopped):
        await scheduler.encode(windows(1))
    assert scheduler.queued == 0


async def test_the_wait_is_estimated_from_the_pace(scheduler: Scheduler, recorder: Recorder) -> None:
    assert scheduler.wait_seconds() == 1
    task = await start(scheduler, 1)
    await asyncio.sleep(0.2)
    recorder.may_work.set()
    await task
    recorder.may_work.clear()
    tasks = [await start(scheduler, *range(1000))]
    assert scheduler.wait_seconds() == 60
    recorder.may_work.set()
    await asyncio.gather(*tasks)


async def test_many_threads_give_the_same_as_one(recorder: Recorder) -> None:
    recorder.may_work.set()
    scheduler = Scheduler(recorder, threads=4, capacity=3000)
    tasks = [await start(scheduler, *range(i, i + 50)) for i in range(0, 1000, 50)]
    assert [await values(task) for task in tasks] == [list(range(i, i + 50)) for i in range(0, 1000, 50)]
    scheduler.close()
