"""
Idle connections as bare descriptors, in an epoll set of their own.

A connection that says nothing needs no transport, no parser and no object: what
stays is its descriptor, and by when it must have spoken. Its first byte makes it
a connection again. Knows nothing of HTTP; a byte of what clients send is peeked
at only to tell a last request from a mere end.
"""

import asyncio
import math
import os
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from penstock.worker.heap import give_back
from penstock.worker.limits import (
    PARKED_CLOSES_PER_TURN_MAX,
    PARKED_SLIM_COUNT,
    PARKED_WAKES_PER_TURN_MAX,
    WHEEL_TICK_S,
)
from penstock.worker.logs import LOG

_GROWTH = 1024  # descriptors: the arrays grow by 6 KiB at a time


class Parked(NamedTuple):
    """A connection as a bare descriptor."""

    fd: int
    deadline_s: float  # the monotonic time by which it must have spoken
    told: bytes = b""  # what a proxy has told of its ends, if anything


class ParkingLot:
    """
    All parked connections of one worker. Its methods belong to the loop's thread.

    There is no object for a connection: two flat arrays by descriptor, and a
    note of the descriptor under its deadline. A note is never taken back: it
    holds only if the array still says the same. When most notes are stale, all
    are written anew.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._lanes: list[Lane] = []
        self._lane_of = array("H")  # by descriptor: a lane's number, 0 for none
        self._tick_of = array("I")  # by descriptor: its deadline, in ticks
        self._told: dict[int, bytes] = {}  # by descriptor, of those of which anything was told
        self._notes: dict[int, array[int]] = {}  # by tick
        self._note_count = 0
        self._count = 0
        self._lean_count = 0  # how many were parked when memory was last given back, or fewer since
        self._waking: set[asyncio.Task[None]] = set()
        self._is_asleep = False
        loop.add_reader(self._epoll.fileno(), self._look)

    def lane(self, connect: Callable[..., asyncio.Protocol], on_fewer: Callable[[], None]) -> "Lane":
        """
        Make room for the connections of one listener.

        `connect` makes the protocol of one that wakes, out of what was told of it if
        anything was; `on_fewer` is called when some have left, whatever became of them.
        """
        lane = Lane(self, len(self._lanes) + 1, connect, on_fewer)
        self._lanes.append(lane)
        return lane

    def tick(self, now_s: float) -> None:
        """Close those whose time has come, unless they have just spoken."""
        self._slim()
        last = math.floor(now_s / WHEEL_TICK_S)
        if self._is_asleep or not any(tick <= last for tick in self._notes):
            return
        # The loop may have been blocked: who has written in time is not to suffer for it.
        while self._look():
            pass
        due = array("i")
        for tick in [tick for tick in self._notes if tick <= last]:
            notes = self._notes.pop(tick)
            self._note_count -= len(notes)
            due.extend(notes)
        self._close_due(due, last)

    def _slim(self) -> None:
        """Give memory back when many more are parked than the last time; not for those that come and go."""
        self._lean_count = min(self._lean_count, self._count)
        if self._count >= self._lean_count + PARKED_SLIM_COUNT:
            self._lean_count = self._count
            give_back()

    def sleep(self) -> None:
        """Wake nobody and close nobody: they are being given away, with whatever has come or comes."""
        if not self._is_asleep:
            self._is_asleep = True
            self._loop.remove_reader(self._epoll.fileno())

    def wake_up(self) -> None:
        """Go on as before `sleep`."""
        if self._is_asleep:
            self._is_asleep = False
            self._loop.add_reader(self._epoll.fileno(), self._look)

    def close(self) -> None:
        """Close whatever is parked, and the set."""
        self.sleep()
        for lane in self._lanes:
            lane.close_all()
        self._epoll.close()

    # For lanes.

    def add(self, fd: int, number: int, deadline_s: float, told: bytes) -> bool:
        """Take a descriptor in; say whether the kernel would watch it."""
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)
        except OSError as error:
            LOG.warning("cannot park a connection: %s", error)
            return False
        if fd >= len(self._lane_of):
            more = fd + _GROWTH - len(self._lane_of)
            self._lane_of.frombytes(bytes(more * self._lane_of.itemsize))
            self._tick_of.frombytes(bytes(more * self._tick_of.itemsize))
        self._lane_of[fd] = number
        self._count += 1
        if told:
            self._told[fd] = told
        self.note(fd, deadline_s)
        return True

    def remove(self, fd: int) -> bytes:
        """Forget a descriptor, which stays open, and return what was told of it."""
        self._epoll.unregister(fd)
        self._lane_of[fd] = 0
        self._count -= 1
        return self._told.pop(fd, b"") if self._told else b""

    def note(self, fd: int, deadline_s: float) -> None:
        """Set the deadline of a descriptor that is in."""
        tick = self._tick_of[fd] = math.ceil(max(deadline_s, time.monotonic()) / WHEEL_TICK_S)
        self._write_note(fd, tick)
        if self._note_count > 2 * self._count + _GROWTH:
            self._notes.clear()
            self._note_count = 0
            for lane in self._lanes:
                for each in self.descriptors(lane.number):
                    self._write_note(each, self._tick_of[each])

    def _write_note(self, fd: int, tick: int) -> None:
        notes = self._notes.get(tick)
        if notes is None:
            notes = self._notes[tick] = array("i")
        notes.append(fd)
        self._note_count += 1

    def deadline_s(self, fd: int) -> float:
        """Tell by when a descriptor that is in must have spoken."""
        return self._tick_of[fd] * WHEEL_TICK_S

    def descriptors(self, number: int, at: int = 0) -> Iterator[int]:
        """List the descriptors of a lane in order; those at hand may be removed meanwhile."""
        while True:
            try:
                at = self._lane_of.index(number, at)
            except ValueError:
                return
            yield at
            at += 1

    def look(self) -> None:
        """Wake all who have spoken."""
        while self._look():
            pass

    # Waking and closing.

    def _look(self) -> bool:
        """Wake some who have spoken, close those who have only ended; say whether there were any."""
        ready = self._epoll.poll(0, PARKED_WAKES_PER_TURN_MAX)
        for fd, events in ready:
            if events == select.EPOLLIN or _has_data(fd):
                self._wake(fd)
            else:
                self._close(fd)
        return bool(ready)

    def _wake(self, fd: int) -> None:
        lane = self._lanes[self._lane_of[fd] - 1]
        self.resume(fd, lane, self.remove(fd))

    def resume(self, fd: int, lane: "Lane", told: bytes) -> None:
        """Make a connection of a descriptor again. It counts as parked until it is one."""
        connect = partial(lane.connect, told) if told else lane.connect
        task = self._loop.create_task(self._resume(fd, lane, connect))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _resume(self, fd: int, lane: "Lane", connect: Callable[[], asyncio.Protocol]) -> None:
        sock: socket.socket | None = None
        try:
            sock = socket.socket(fileno=fd)
            await self._loop.connect_accepted_socket(connect, sock)
        except OSError as error:
            LOG.warning("lost a connection that woke: %s", error)
            if sock is not None:
                sock.close()
            else:
                os.close(fd)
        finally:
            lane.left(1)

    def _close_due(self, due: "array[int]", last: int) -> None:
        """Close those that are still in and late; the rest of many in the loop's next turn."""
        for fd in due[:PARKED_CLOSES_PER_TURN_MAX]:
            if self._lane_of[fd] and self._tick_of[fd] <= last:
                self._close(fd)
        rest = due[PARKED_CLOSES_PER_TURN_MAX:]
        if rest:
            self._loop.call_soon(self._close_due, rest, last)

    def _close(self, fd: int) -> None:
        lane = self._lanes[self._lane_of[fd] - 1]
        self.remove(fd)
        os.close(fd)
        lane.left(1)


class Lane:
    """The parked connections of one listener."""

    __slots__ = ("_first", "_lot", "_on_fewer", "connect", "count", "number")

    def __init__(
        self,
        lot: ParkingLot,
        number: int,
        connect: Callable[..., asyncio.Protocol],
        on_fewer: Callable[[], None],
    ) -> None:
        self._lot = lot
        self._on_fewer = on_fewer
        self._first = 0  # no descriptor of this lane is lower
        self.number = number
        self.connect = connect
        self.count = 0

    def park(self, fd: int, deadline_s: float, told: bytes = b"") -> bool:
        """Take a connection in, and its descriptor over; False if that cannot be."""
        if not self._lot.add(fd, self.number, deadline_s, told):
            return False
        self.count += 1
        self._first = min(self._first, fd)
        return True

    def take_over(self, parked: list[Parked]) -> None:
        """Take in connections that somebody else had. One that cannot be parked is a connection at once."""
        for fd, deadline_s, told in parked:
            if not self.park(fd, deadline_s, told):
                self.count += 1
                self._lot.resume(fd, self, told)

    def take_out(self, count_max: int) -> list[Parked]:
        """
        Let go of some. The caller owns their descriptors, and says so with `left`
        when he has done with them: until then they count.
        """
        taken: list[Parked] = []
        for fd in self._lot.descriptors(self.number, self._first):
            taken.append(Parked(fd, self._lot.deadline_s(fd), self._lot.remove(fd)))
            self._first = fd
            if len(taken) == count_max:
                break
        return taken

    def hurry(self, deadline_s: float) -> None:
        """Give all of them less time."""
        for fd in self._lot.descriptors(self.number):
            if self._lot.deadline_s(fd) > deadline_s:
                self._lot.note(fd, deadline_s)

    def close_all(self) -> None:
        """Close those who have said nothing; the others are connections again."""
        self._lot.look()
        taken = self.take_out(self.count)
        for each in taken:
            os.close(each.fd)
        self.left(len(taken))

    def left(self, count: int) -> None:
        """Note that so many are not parked any more."""
        self.count -= count
        self._on_fewer()


def _has_data(fd: int) -> bool:
    """Tell whether something was sent before the end; a reset takes it along."""
    sock = socket.socket(fileno=fd)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
    finally:
        sock.detach()
