"""The lot itself, against a model of it, and with the ends of connections that have no HTTP on them."""

import asyncio
import math
import os
import socket
import time
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.worker.limits import WHEEL_TICK_S
from penstock.worker.parking import Lane, Parked, ParkingLot

DEADLINE_S = 30.0
CLIENTS = 6


class Woken(asyncio.Protocol):
    """A connection that has woken: remembers what it reads."""

    def __init__(self, garden: "Garden") -> None:
        self._garden = garden

    def connection_made(self, transport: Any) -> None:
        self._garden.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self._garden.received.append(data)


class Garden:
    """A lot with a lane, and clients that are known by a number."""

    def __init__(self) -> None:
        self.lot = ParkingLot(asyncio.get_running_loop())
        self.transports: list[asyncio.Transport] = []
        self.received: list[bytes] = []
        self.fewer = 0
        self.lane: Lane = self.lot.lane(lambda: Woken(self), self._on_fewer)
        self.other = self.lot.lane(lambda: Woken(self), lambda: None)
        self.clients: dict[int, socket.socket] = {}
        self.spoken: list[socket.socket] = []

    def _on_fewer(self) -> None:
        self.fewer += 1

    def park(self, number: int, deadline_s: float) -> None:
        self.clients[number], theirs = socket.socketpair()
        self.clients[number].setblocking(False)
        theirs.setblocking(False)
        assert self.lane.park(theirs.detach(), deadline_s)

    def speak(self, number: int) -> None:
        client = self.clients.pop(number)
        client.send(str(number).encode())
        self.spoken.append(client)

    def is_closed(self, number: int) -> bool:
        try:
            return self.clients[number].recv(1) == b""
        except BlockingIOError:
            return False

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0)

    def close(self) -> None:
        self.lot.close()
        for transport in self.transports:
            transport.abort()
        for client in (*self.clients.values(), *self.spoken):
            client.close()


OPERATIONS = st.one_of(
    st.tuples(st.just("park"), st.integers(0, CLIENTS - 1), st.integers(1, 40)),
    st.tuples(st.just("speak"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("end"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("pass"), st.integers(1, 30)),
    st.tuples(st.just("take"), st.integers(1, CLIENTS)),
    st.tuples(st.just("hurry"), st.integers(1, 20)),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, max_size=40))
def test_lot_does_what_a_dictionary_would(operations: list[Any]) -> None:
    """
    Parked, woken, ended, given away and timed out in any order, with descriptors that come again.
    """

    async def scenario() -> None:
        garden = Garden()
        ticks: dict[int, int] = {}  # by client: the tick of its deadline
        now = math.ceil(time.monotonic() / WHEEL_TICK_S) + 1
        woken: list[bytes] = []
        for operation, *arguments in operations:
            number = arguments[0]
            match operation:
                case "park" if number not in ticks:
                    ticks[number] = now + arguments[1]
                    garden.park(number, ticks[number] * WHEEL_TICK_S)
                case "speak" if number in ticks:
                    garden.speak(number)
                    woken.append(str(number).encode())
                    del ticks[number]
                case "end" if number in ticks:
                    garden.clients.pop(number).close()
                    del ticks[number]
                case "pass":
                    now += number
                    garden.lot.tick(now * WHEEL_TICK_S)
                    late = [each for each, tick in ticks.items() if tick <= now]
                    for each in late:
                        assert garden.is_closed(each)
                        del ticks[each]
                        garden.clients.pop(each).close()
                case "take":
                    taken = garden.lane.take_out(number)
                    by_deadline = sorted(round(each.deadline_s / WHEEL_TICK_S) for each in taken)
                    assert len(taken) == min(number, len(ticks))
                    assert not set(by_deadline) - set(ticks.values())
                    garden.lane.take_over(taken)
                    garden.lane.left(len(taken))
                case "hurry":
                    garden.lane.hurry((now + number) * WHEEL_TICK_S)
                    ticks = {each: min(tick, now + number) for each, tick in ticks.items()}
            left = len(ticks)
            await garden.until(lambda left=left: garden.lane.count == left)
            assert not any(garden.is_closed(each) for each in ticks)
            await garden.until(lambda: sorted(garden.received) == sorted(woken))
        garden.close()
        assert garden.lane.count == 0

    uvloop.run(scenario())


def test_notes_do_not_pile_up() -> None:
    """
    A connection that is parked every two seconds for an hour leaves no trail.
    """

    async def scenario() -> None:
        garden = Garden()
        garden.park(0, time.monotonic() + 3600)
        for number in range(1, 5000):
            garden.lane.hurry(time.monotonic() + 3600 - number)
        assert garden.lot._note_count < 4000
        assert not garden.is_closed(0)
        garden.lot.tick(time.monotonic() + 3600)
        assert garden.is_closed(0)
        garden.close()

    uvloop.run(scenario())


def test_lanes_are_kept_apart() -> None:
    async def scenario() -> None:
        garden = Garden()
        garden.park(0, time.monotonic() + 60)
        assert garden.other.take_out(10) == []
        garden.other.close_all()
        assert (garden.lane.count, garden.fewer) == (1, 0)
        garden.lane.close_all()
        assert (garden.lane.count, garden.fewer) == (0, 1)
        assert garden.is_closed(0)
        garden.close()

    uvloop.run(scenario())


def test_who_sleeps_neither_wakes_nor_ends() -> None:
    """
    What is about to be given away goes along with whatever has come for it.
    """

    async def scenario() -> None:
        garden = Garden()
        for number in range(2):
            garden.park(number, time.monotonic() + 1)
        garden.lot.sleep()
        garden.clients[0].send(b"late")
        garden.lot.tick(time.monotonic() + 60)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (garden.lane.count, garden.received) == (2, [])
        garden.lot.wake_up()
        await garden.until(lambda: garden.received == [b"late"])
        garden.lot.tick(time.monotonic() + 60)
        assert garden.is_closed(1)
        garden.close()

    uvloop.run(scenario())


def test_what_cannot_be_watched_is_a_connection_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """
    The kernel bounds how many descriptors a user may watch.
    """

    async def scenario() -> None:
        garden = Garden()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        twice = theirs.fileno()
        garden.lot._epoll.register(twice)  # So that registering it again fails.
        garden.lane.take_over([Parked(theirs.detach(), time.monotonic() + 60)])
        assert garden.lane.count == 1
        await garden.until(lambda: garden.transports)
        await garden.until(lambda: garden.lane.count == 0)
        garden.lot._epoll.unregister(twice)
        ours.send(b"hello")
        await garden.until(lambda: garden.received == [b"hello"])
        ours.close()
        garden.close()

    uvloop.run(scenario())
    assert "cannot park" in caplog.text


def test_descriptor_that_is_no_socket_of_ours_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        garden = Garden()
        reader, writer = os.pipe()
        assert garden.lane.park(reader, time.monotonic() + 60)
        os.write(writer, b"x")
        await garden.until(lambda: garden.lane.count == 0)
        os.close(writer)
        garden.close()

    uvloop.run(scenario())
    assert "lost a connection" in caplog.text
