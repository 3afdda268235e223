"""Descriptors on their way from one worker to another, through the master."""

import os
import selectors
import socket
from collections.abc import Iterator

import pytest

from penstock.master.crew import Crew
from penstock.master.relay import RELAY_WAITING_MAX, Relay
from penstock.worker.channel import Channel
from penstock.worker.messages import Give, GiveTold, Snapshot, Take, TakeTold, decode_for_child, encode

GIVER, FIRST, SECOND = 1, 2, 3
ADDRESS = "127.0.0.1:80"


class Workers:
    """The workers' ends of the channels."""

    def __init__(self, crew: Crew) -> None:
        self.channels: dict[int, Channel] = {}
        for pid in (GIVER, FIRST, SECOND):
            ours, self.channels[pid] = Channel.pair()
            crew.adopt(pid, ours)

    def taken(self, pid: int) -> list[tuple[Take, list[int]]]:
        """Give what a worker was sent, with the inodes of the descriptors."""
        found = []
        while (received := self.channels[pid].receive()) is not None:
            message = decode_for_child(received[0])
            assert isinstance(message, Take)
            found.append((message, [os.fstat(fd).st_ino for fd in received[1]]))
            for fd in received[1]:
                os.close(fd)
        return found


@pytest.fixture
def crew() -> Iterator[Crew]:
    with selectors.DefaultSelector() as selector:
        crew = Crew(selector)
        yield crew
        for pid in (GIVER, FIRST, SECOND):
            crew.forget(pid)


@pytest.fixture
def workers(crew: Crew) -> Iterator[Workers]:
    workers = Workers(crew)
    yield workers
    for channel in workers.channels.values():
        channel.close()


def connections(count: int) -> tuple[list[int], list[int]]:
    """Make descriptors, and tell their inodes."""
    fds = [socket.socket().detach() for _ in range(count)]
    return fds, [os.fstat(fd).st_ino for fd in fds]


def give(relay: Relay, count: int) -> list[int]:
    """Give so many; return their inodes."""
    fds, inodes = connections(count)
    relay.give(GIVER, Give(ADDRESS, tuple(range(count))), fds)
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    return inodes


def test_what_was_told_of_connections_goes_along(crew: Crew, workers: Workers) -> None:
    """
    To whoever takes them, and back if nobody does; of descriptors that were lost nothing is told.
    """
    told = (b"first", b"", b"third")
    for takers, pid, is_returned in (([FIRST], FIRST, False), ([], GIVER, True)):
        fds, inodes = connections(2)
        relay = Relay(crew, lambda _, takers=takers: takers)  # type: ignore[misc]
        relay.give(GIVER, GiveTold(ADDRESS, (1, 2, 3), told), fds)
        assert workers.taken(pid) == [(TakeTold(ADDRESS, (1, 2), is_returned, told[:2]), inodes)]


def test_connections_are_passed_on_with_the_time_that_they_have(crew: Crew, workers: Workers) -> None:
    relay = Relay(crew, lambda address: [FIRST] if address == ADDRESS else [])

    inodes = give(relay, 3)

    assert workers.taken(FIRST) == [(Take(ADDRESS, (0, 1, 2)), inodes)]
    assert workers.taken(GIVER) == []


def test_who_was_given_least_is_given_next(crew: Crew, workers: Workers) -> None:
    """
    A worker that joins later catches up.
    """
    takers = [FIRST]
    relay = Relay(crew, lambda _: takers)
    give(relay, 5)
    takers.append(SECOND)

    for _ in range(3):
        give(relay, 4)

    assert [len(inodes) for _, inodes in workers.taken(FIRST)] == [5, 4]
    assert [len(inodes) for _, inodes in workers.taken(SECOND)] == [4, 4]


def test_what_nobody_takes_goes_back(crew: Crew, workers: Workers) -> None:
    """
    The giver is no taker, whatever the list says.
    """
    relay = Relay(crew, lambda _: [GIVER])

    inodes = give(relay, 2)

    assert workers.taken(GIVER) == [(Take(ADDRESS, (0, 1), is_returned=True), inodes)]


def test_what_cannot_go_anywhere_is_closed(
    crew: Crew, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    workers.channels[GIVER].close()

    give(Relay(crew, lambda _: []), 2)

    assert "closed 2 idle connections" in caplog.text


def test_worker_that_does_not_read_is_given_no_more(crew: Crew, workers: Workers) -> None:
    """
    The master has few descriptors; and connections there would wait.
    """
    while crew.waiting(FIRST) < RELAY_WAITING_MAX:
        crew.send(FIRST, Snapshot(b"x" * 1000))
    relay = Relay(crew, lambda _: [FIRST, SECOND])

    give(relay, 1)

    assert len(workers.taken(SECOND)) == 1


def test_descriptors_that_got_lost_on_the_way_shift_nothing(crew: Crew, workers: Workers) -> None:
    relay = Relay(crew, lambda _: [FIRST])
    fds, inodes = connections(1)

    relay.give(GIVER, Give(ADDRESS, (10, 20)), fds)

    assert workers.taken(FIRST) == [(Take(ADDRESS, (10,)), inodes)]


def test_crew_hands_connections_to_whoever_takes_them(crew: Crew, workers: Workers) -> None:
    """
    Everything else that comes with descriptors is closed.
    """
    crew.on_give = Relay(crew, lambda _: [FIRST]).give
    fds, inodes = connections(2)
    workers.channels[GIVER].send(encode(Give(ADDRESS, (1, 2))), fds)
    workers.channels[GIVER].send(b"rubbish", fds)
    for fd in fds:
        os.close(fd)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    assert list(crew.receive(GIVER, selectors.EVENT_READ)) == []

    assert workers.taken(FIRST) == [(Take(ADDRESS, (1, 2)), inodes)]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_flush_waits_for_those_who_read_and_names_those_who_do_not(crew: Crew, workers: Workers) -> None:
    """
    What waits in the process would be lost when it becomes another.
    """
    for pid in (FIRST, SECOND):
        while not crew.waiting(pid):
            crew.send(pid, Snapshot(b"x" * 1000))
    assert crew.flush([GIVER, FIRST], 0.0) == [FIRST]
    while workers.channels[FIRST].receive() is not None:
        pass
    assert crew.flush([GIVER, FIRST, SECOND], 0.02) == [SECOND]
    workers.channels[SECOND].close()
    assert crew.flush([GIVER, FIRST, SECOND], 1.0) == []
