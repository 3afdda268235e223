"""Real listeners, real channels: who is sent which descriptors, and what to let go."""

import os
import selectors
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.master.config.bind import Bind, TcpBind, UnixBind
from penstock.master.crew import Crew
from penstock.master.lender import Lender
from penstock.master.listeners import Listener, open_listener
from penstock.worker.channel import CHANNEL_DESCRIPTORS_MAX, Channel
from penstock.worker.messages import Adopt, Release, decode_for_child

Told = list[Adopt | Release]
Open = Callable[..., Listener]


class Workers:
    """The other ends of the channels, and the descriptors that came through them."""

    def __init__(self, crew: Crew, pids: list[int]) -> None:
        self._channels: dict[int, Channel] = {}
        self.received: dict[int, dict[int, int]] = {pid: {} for pid in pids}  # inode by index
        for pid in pids:
            ours, self._channels[pid] = Channel.pair()
            crew.adopt(pid, ours)

    def told(self, pid: int) -> Told:
        told: Told = []
        while (received := self._channels[pid].receive()) is not None:
            message = decode_for_child(received[0])
            assert isinstance(message, Adopt | Release)
            told.append(message)
            if isinstance(message, Adopt):
                inodes = [os.fstat(fd).st_ino for fd in received[1]]
                self.received[pid].update(zip(message.shards, inodes, strict=True))
            for fd in received[1]:
                os.close(fd)
        return told

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


@pytest.fixture
def crew() -> Iterator[Crew]:
    with selectors.DefaultSelector() as selector:
        crew = Crew(selector)
        yield crew
        for pid in (1, 2, 3):
            crew.forget(pid)


@pytest.fixture
def workers(crew: Crew) -> Iterator[Workers]:
    workers = Workers(crew, [1, 2, 3])
    yield workers
    workers.close()


@pytest.fixture
def lender(crew: Crew) -> Lender:
    return Lender(crew)


@pytest.fixture
def open_one() -> Iterator[Open]:
    with ExitStack() as stack:

        def opening(bind: Bind = TcpBind("127.0.0.1", 0), shard_count: int = 8) -> Listener:  # noqa: B008 (frozen)
            listener = open_listener("web", bind, shard_count=shard_count, backlog=16)
            stack.callback(listener.close)
            return listener

        yield opening


def test_descriptors_arrive_beside_their_indexes(lender: Lender, workers: Workers, open_one: Open) -> None:
    """One that got another's index would be released in its place."""
    listener = open_one()

    lender.lend([listener], lambda _: [1, 2])

    assert workers.told(1) == [Adopt(listener.key, (0, 1, 2, 3))]
    assert workers.told(2) == [Adopt(listener.key, (4, 5, 6, 7))]
    inodes = [os.fstat(shard.fileno()).st_ino for shard in listener.shards]
    assert workers.received[1] == dict(enumerate(inodes[:4]))
    assert workers.received[2] == dict(enumerate(inodes[4:], start=4))


def test_nobody_is_told_anything_when_nothing_has_changed(
    lender: Lender, workers: Workers, open_one: Open
) -> None:
    """It is called after every event."""
    listener = open_one()
    lender.lend([listener], lambda _: [1, 2])
    workers.told(1)

    lender.lend([listener], lambda _: [1, 2])

    assert workers.told(1) == []


def test_a_newcomer_gets_what_the_others_let_go(lender: Lender, workers: Workers, open_one: Open) -> None:
    listener = open_one()
    lender.lend([listener], lambda _: [1])
    workers.told(1)

    lender.lend([listener], lambda _: [1, 2])

    assert workers.told(2) == [Adopt(listener.key, (4, 5, 6, 7))]
    assert workers.told(1) == [Release(listener.key, (4, 5, 6, 7))]
    assert lender.lent[listener.key, 3] == {1}
    assert lender.lent[listener.key, 4] == {2}


def test_the_shards_of_a_worker_that_is_gone_go_to_its_siblings(
    lender: Lender, workers: Workers, open_one: Open
) -> None:
    """It is not told to release them: it is dead, or drains and does so by itself."""
    listener = open_one()
    lender.lend([listener], lambda _: [1, 2])
    workers.told(1)
    workers.told(2)

    lender.forget(2)
    assert len(lender.lent) == 4
    lender.lend([listener], lambda _: [1])

    assert workers.told(1) == [Adopt(listener.key, (4, 5, 6, 7))]
    assert workers.told(2) == []
    assert set(lender.lent.values()) == {frozenset({1})}


def test_a_socket_file_is_lent_to_everyone(
    lender: Lender, workers: Workers, open_one: Open, tmp_path: Path
) -> None:
    """It has one queue, and one core is not enough for it."""
    listener = open_one(UnixBind(str(tmp_path / "s")))

    lender.lend([listener], lambda _: [1, 2])
    assert lender.lent == {(listener.key, 0): frozenset({1, 2})}
    lender.forget(1)
    lender.lend([listener], lambda _: [2, 3])

    assert workers.told(1) == workers.told(2) == workers.told(3) == [Adopt(listener.key, (0,))]


def test_a_listener_goes_only_to_workers_that_know_it(
    lender: Lender, workers: Workers, open_one: Open, tmp_path: Path
) -> None:
    """In a roll that adds an address, the old generation has no routes for it."""
    old, new = open_one(), open_one(UnixBind(str(tmp_path / "s")))

    lender.lend([old, new], lambda listener: [1, 2] if listener is old else [2])

    assert workers.told(1) == [Adopt(old.key, (0, 1, 2, 3))]
    assert set(workers.told(2)) == {Adopt(old.key, (4, 5, 6, 7)), Adopt(new.key, (0,))}


def test_a_listener_that_is_gone_is_released(lender: Lender, workers: Workers, open_one: Open) -> None:
    listener = open_one()
    lender.lend([listener], lambda _: [1])
    workers.told(1)

    lender.lend([], lambda _: [1])

    assert workers.told(1) == [Release(listener.key, tuple(range(8)))]
    assert lender.lent == {}


def test_a_large_group_is_sent_in_messages_that_the_kernel_takes(
    lender: Lender, workers: Workers, open_one: Open
) -> None:
    """It passes at most 253 descriptors at a time."""
    count = CHANNEL_DESCRIPTORS_MAX + 2
    listener = open_one(shard_count=count)

    lender.lend([listener], lambda _: [1])

    assert [len(message.shards) for message in workers.told(1)] == [CHANNEL_DESCRIPTORS_MAX, 2]
    assert len(set(workers.received[1].values())) == count


def test_holders_of_a_listener_are_known(
    lender: Lender, workers: Workers, open_one: Open, tmp_path: Path
) -> None:
    """When no worker can be heard, those who have shards keep them."""
    listener, other = open_one(), open_one(UnixBind(str(tmp_path / "s")))
    lender.lend([listener, other], lambda each: [1, 2] if each is listener else [3])
    assert lender.holders(listener) == {1, 2}
    lender.forget(2)
    assert lender.holders(listener) == {1}


def test_after_a_hot_restart_the_lender_knows_who_holds_what(
    crew: Crew, workers: Workers, open_one: Open
) -> None:
    """The running workers go on accepting and are not asked to start again."""
    listener = open_one()
    lent = {(listener.key, index): frozenset({1 + index % 2}) for index in range(8)}
    lender = Lender(crew, lent)

    lender.lend([listener], lambda _: [1, 2])

    assert workers.told(1) == workers.told(2) == []
    assert lender.lent == lent
