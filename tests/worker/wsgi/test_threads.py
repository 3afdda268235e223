"""The pool of threads: each request once, in order, by as few threads as will do, and an end to all."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from penstock.worker.wsgi.threads import Threads

DEADLINE_S = 30.0


class Task:
    """A job that notes what becomes of it."""

    def __init__(self, act: Callable[[], object] = int, name: str = "a job") -> None:
        self._act = act
        self._name = name
        self.thread: str | None = None
        self.is_done = threading.Event()

    def work(self, thread: str) -> None:
        self.thread = thread
        try:
            self._act()
        finally:
            self.is_done.set()

    def describe(self) -> str:
        return self._name


async def done(*tasks: Task) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not all(each.is_done.is_set() for each in tasks):
            await asyncio.sleep(0.001)


async def ended(threads: Threads) -> None:
    await threads.stop(DEADLINE_S)
    assert not any(each.is_alive() for each in threads._threads)


async def test_one_thread_does_all_in_the_order_in_which_they_came() -> None:
    """Whoever came first is answered first."""
    threads = Threads(1, asyncio.get_running_loop())
    order: list[int] = []
    tasks = [Task(lambda number=number: order.append(number)) for number in range(500)]  # type: ignore[misc]
    for task in tasks:
        threads.take(task)
    await done(*tasks)

    assert order == list(range(500))
    assert {task.thread for task in tasks} == {"wsgi-1"}
    await ended(threads)


async def test_no_more_threads_than_there_is_work_for() -> None:
    """What each keeps open, such as a connection to a database, is not opened ten times for one client."""
    threads = Threads(10, asyncio.get_running_loop())
    for _ in range(50):
        task = Task()
        threads.take(task)
        await done(task)
        await asyncio.sleep(0.002)

    assert len(threads._threads) <= 2
    await ended(threads)


async def test_jobs_that_block_do_not_hold_up_the_others() -> None:
    """All threads work at once, and no more than there are."""
    threads = Threads(4, asyncio.get_running_loop())
    barrier = threading.Barrier(5)
    blocked = [Task(lambda: barrier.wait(DEADLINE_S)) for _ in range(4)]
    waiting = [Task() for _ in range(3)]
    for task in (*blocked, *waiting):
        threads.take(task)
    async with asyncio.timeout(DEADLINE_S):
        while barrier.n_waiting < 4:
            await asyncio.sleep(0.001)

    assert threads.waiting_count == 3
    assert threads.is_behind
    barrier.wait()
    await done(*blocked, *waiting)
    assert len({task.thread for task in blocked}) == 4
    await ended(threads)


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("count", [1, 2, 7])
async def test_no_job_is_forgotten_however_threads_take_turns(count: int) -> None:
    """A wake-up that is missed would be a request that hangs."""
    threads = Threads(count, asyncio.get_running_loop())
    running = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        sum(range(200))
        with lock:
            running -= 1

    tasks: list[Task] = []
    for number in range(2000):
        tasks.append(Task(work))
        threads.take(tasks[-1])
        if number % 7 == 0:
            await asyncio.sleep(0)
        if number % 100 == 0:
            await done(*tasks)
    await done(*tasks)

    assert most <= count
    assert not threads.waiting_count
    await ended(threads)


@pytest.mark.usefixtures("quick_switches")
async def test_letters_arrive_in_order_and_all_of_them() -> None:
    """From each thread in the order in which it wrote them: they are pieces of a response."""
    threads = Threads(4, asyncio.get_running_loop())
    received: dict[int, list[int]] = {number: [] for number in range(8)}

    def write(number: int) -> None:
        for index in range(500):
            threads.post(received[number].append, index)

    tasks = [Task(lambda number=number: write(number)) for number in range(8)]  # type: ignore[misc]
    for task in tasks:
        threads.take(task)
    await done(*tasks)
    async with asyncio.timeout(DEADLINE_S):
        while any(len(each) < 500 for each in received.values()):
            await asyncio.sleep(0.001)

    assert all(each == list(range(500)) for each in received.values())
    await ended(threads)


async def test_one_that_waits_can_be_taken_out() -> None:
    """Its client is gone. One that has begun cannot."""
    threads = Threads(1, asyncio.get_running_loop())
    is_over = threading.Event()
    blocked, waiting, last = Task(lambda: is_over.wait(DEADLINE_S)), Task(), Task()
    for task in (blocked, waiting, last):
        threads.take(task)
    async with asyncio.timeout(DEADLINE_S):
        while blocked.thread is None:
            await asyncio.sleep(0.001)

    assert threads.forget(waiting)
    assert not threads.forget(waiting)
    assert not threads.forget(blocked)
    is_over.set()
    await done(last)
    assert waiting.thread is None
    await ended(threads)


async def test_a_job_that_raises_does_not_end_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    """It is our bug, and the next request is not to blame."""
    threads = Threads(1, asyncio.get_running_loop())

    def fail() -> None:
        raise SystemExit

    first, second = Task(fail), Task()
    threads.take(first)
    threads.take(second)
    await done(first, second)

    assert "a WSGI thread failed at a job" in caplog.text
    await ended(threads)


async def test_a_stuck_thread_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """The worker ends all the same, and says what was stuck."""
    threads = Threads(2, asyncio.get_running_loop())
    is_over = threading.Event()
    stuck, idle = Task(lambda: is_over.wait(DEADLINE_S), "GET /stuck"), Task()
    threads.take(stuck)
    threads.take(idle)
    await done(idle)
    await threads.stop(0.05)

    assert "left a WSGI thread behind that is still at work on GET /stuck" in caplog.text
    is_over.set()
    await ended(threads)


async def test_it_is_said_when_all_are_stuck(caplog: pytest.LogCaptureFixture) -> None:
    """Else a worker that answers nobody looks as if nobody asked. Once a minute, and not when it moves on."""
    caplog.set_level(logging.WARNING)
    threads = Threads(1, asyncio.get_running_loop())
    is_over = threading.Event()
    stuck, waiting = Task(lambda: is_over.wait(DEADLINE_S), "GET /stuck"), Task()
    threads.take(stuck)
    threads.take(waiting)
    async with asyncio.timeout(DEADLINE_S):
        while stuck.thread is None:
            await asyncio.sleep(0.001)
    now_s = threads._moved_s
    for after_s in (0.0, 30.0, 59.0, 61.0, 62.0, 120.0):
        threads.tick(now_s + after_s)

    assert [record.getMessage() for record in caplog.records] == [
        "all 1 WSGI threads have been at work for 61 s, and 1 requests wait; the oldest: GET /stuck"
    ]
    is_over.set()
    await done(waiting)
    await ended(threads)


async def test_what_is_posted_after_the_end_of_the_loop_is_dropped() -> None:
    """A thread that was left behind may go on for a moment, and is not to fail."""
    loop = asyncio.new_event_loop()
    loop.close()
    threads = Threads(1, loop)
    received: list[Any] = []

    threads.post(received.append, 1)
    assert not received
