"""What is sent arrives whole, in order, with its descriptors, and nothing is left open."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.channel import (
    CHANNEL_DESCRIPTORS_MAX,
    CHANNEL_OUTBOX_MAX,
    INLINE_BYTES_MAX,
    Channel,
    ChannelClosed,
    ChannelFull,
)

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def open_fds() -> int:
    """Count the descriptors of files in memory: of others, threads of other tests may open and close some."""
    paths = Path("/proc/self/fd").iterdir()
    return sum("/memfd:" in os.readlink(path) for path in paths if os.path.lexists(path))  # noqa: PTH115


def fill(channel: Channel) -> int:
    """Send until something waits; count what was sent."""
    count = 0
    while not channel.has_outgoing:
        channel.send(b"%d" % count)
        count += 1
    return count


def receive_all(channel: Channel) -> list[bytes]:
    payloads = []
    while (received := channel.receive()) is not None:
        payloads.append(received[0])
    return payloads


@pytest.mark.parametrize(
    "size",
    [0, 1, 1000, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 212_992, 5_000_000],
    ids=lambda size: f"{size} bytes",
)
def test_a_payload_of_any_size_arrives(pair: Pair, size: int) -> None:
    """A datagram of more than about 212 KB is refused by the kernel; a config may be larger."""
    ours, theirs = pair
    payload = os.urandom(size)
    before = open_fds()

    ours.send(payload)

    assert theirs.receive() == (payload, [])
    assert theirs.receive() is None
    assert open_fds() == before


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_messages_keep_their_bounds_and_their_order(payloads: list[bytes]) -> None:
    ours, theirs = Channel.pair()
    for payload in payloads:
        ours.send(payload)
    assert receive_all(theirs) == payloads
    ours.close()
    theirs.close()


@pytest.mark.parametrize("size", [10, INLINE_BYTES_MAX + 1], ids=["inline", "spilled"])
@pytest.mark.parametrize("count", [1, CHANNEL_DESCRIPTORS_MAX])
def test_descriptors_arrive_in_order(pair: Pair, size: int, count: int) -> None:
    """Also beside a payload that itself needs one."""
    ours, theirs = pair
    sent = [os.memfd_create(str(index)) for index in range(count)]
    inodes = [os.fstat(fd).st_ino for fd in sent]

    ours.send(b"x" * size, sent)
    for fd in sent:
        os.close(fd)
    received = theirs.receive()

    assert received is not None
    assert received[0] == b"x" * size
    assert [os.fstat(fd).st_ino for fd in received[1]] == inodes
    assert not any(os.get_inheritable(fd) for fd in received[1])
    for fd in received[1]:
        os.close(fd)


def test_more_descriptors_than_the_kernel_takes_are_our_bug(pair: Pair) -> None:
    with pytest.raises(AssertionError):
        pair[0].send(b"x", [0] * (CHANNEL_DESCRIPTORS_MAX + 1))


def test_what_the_kernel_does_not_take_waits_and_is_sent_in_order(pair: Pair) -> None:
    """The master never blocks on a child that does not read."""
    ours, theirs = pair
    count = fill(ours)
    for number in range(count, count + 50):
        ours.send(b"%d" % number)

    payloads: list[bytes] = []
    while ours.has_outgoing:
        payloads += receive_all(theirs)
        ours.flush()
    payloads += receive_all(theirs)

    assert payloads == [b"%d" % number for number in range(count + 50)]


def test_nothing_overtakes_what_waits(pair: Pair) -> None:
    """There may be room again before anyone has flushed: a release must not pass its adoption."""
    ours, theirs = pair
    count = fill(ours)
    first = receive_all(theirs)

    ours.send(b"late")
    assert theirs.receive() is None
    ours.flush()

    assert [*first, *receive_all(theirs)] == [b"%d" % number for number in range(count)] + [b"late"]


def test_descriptors_that_wait_are_our_own_duplicates(pair: Pair) -> None:
    """The caller may close his at once: a listener can be gone before its child reads."""
    ours, theirs = pair
    fill(ours)
    fd = os.memfd_create("x")
    inode = os.fstat(fd).st_ino
    ours.send(b"with", [fd])
    ours.send(b"x" * (INLINE_BYTES_MAX + 1), [fd])
    os.close(fd)
    receive_all(theirs)
    ours.flush()

    received = [theirs.receive(), theirs.receive(), theirs.receive()]
    for each in received[-2:]:
        assert each is not None
        assert [os.fstat(fd).st_ino for fd in each[1]] == [inode]
        os.close(each[1][0])
    assert received[-1] is not None
    assert len(received[-1][0]) == INLINE_BYTES_MAX + 1


def test_the_outbox_has_a_bound(pair: Pair) -> None:
    """A child that never reads costs so much and no more."""
    ours, theirs = pair
    fill(ours)
    fd = os.memfd_create("x")
    for _ in range(CHANNEL_OUTBOX_MAX - 1):
        ours.send(b"x")
    before = open_fds()

    with pytest.raises(ChannelFull):
        ours.send(b"one too many", [fd])
    with pytest.raises(ChannelFull):
        ours.send(b"x" * (INLINE_BYTES_MAX + 1), [fd])

    assert open_fds() == before
    os.close(fd)
    receive_all(theirs)
    ours.flush()
    assert b"one too many" not in receive_all(theirs)


def test_the_end_of_the_other_side_shows_when_reading_and_when_writing(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()

    with pytest.raises(ChannelClosed):
        ours.receive()
    with pytest.raises(ChannelClosed):
        ours.send(b"x")


def test_last_words_are_heard_before_the_end(pair: Pair) -> None:
    """Why a child could not start is said just before it exits."""
    ours, theirs = pair
    ours.send(b"because")
    ours.close()

    assert theirs.receive() == (b"because", [])
    with pytest.raises(ChannelClosed):
        theirs.receive()


def test_an_end_that_left_messages_unread_is_an_end_all_the_same(pair: Pair) -> None:
    """The kernel then says that the connection was reset."""
    ours, theirs = pair
    ours.send(b"never read")
    theirs.close()

    with pytest.raises(ChannelClosed):
        ours.receive()


def test_flushing_towards_nobody_tells_so(pair: Pair) -> None:
    ours, theirs = pair
    fill(ours)
    theirs.close()

    with pytest.raises(ChannelClosed):
        ours.flush()


def test_closing_leaves_nothing_open() -> None:
    """Neither what waits in the outbox nor what the other end has not read."""
    before = open_fds()
    fd = os.memfd_create("x")
    ours, theirs = Channel.pair()
    ours.send(b"unread", [fd, fd, fd])
    ours.send(b"unread" * INLINE_BYTES_MAX, [fd])
    fill(ours)
    ours.send(b"waiting", [fd, fd])
    ours.send(b"waiting" * INLINE_BYTES_MAX, [fd])
    os.close(fd)

    ours.close()
    theirs.close()

    assert open_fds() == before
    assert not ours.has_outgoing


def test_a_datagram_of_another_make_is_no_reason_to_fall(pair: Pair) -> None:
    """A later release may mark its datagrams differently; what it means is the caller's question."""
    ours, theirs = pair
    with socket.socket(fileno=os.dup(ours.fileno())) as raw:
        for datagram in (b"S", b"S" + bytes(8), b"?abc", b"S123"):
            raw.send(datagram)
    for _ in range(4):
        received = theirs.receive()
        assert received is not None
        assert received[1] == []


def test_a_channel_goes_on_under_its_inherited_number(pair: Pair) -> None:
    """As after execve, when only the descriptor is left."""
    ours, theirs = pair
    again = Channel.from_fd(os.dup(theirs.fileno()))
    ours.send(b"before")
    again.send(b"after")
    assert again.receive() == (b"before", [])
    assert ours.receive() == (b"after", [])
    again.close()


def test_too_many_descriptors_in_flight_wait_like_anything_else() -> None:
    """
    For a user other than root the kernel bounds them, by RLIMIT_NOFILE.

    A master with many shards and slow children meets that bound; it must not fall over it.
    """
    script = """
import os, resource
from penstock.worker.channel import Channel

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
ours, theirs = Channel.pair()
fd = os.memfd_create("x")
sent = 0
while not ours.has_outgoing:
    ours.send(b"x", [fd] * 20)
    sent += 1
received = 0
while received < sent:
    if (message := theirs.receive()) is None:
        ours.flush()
        continue
    assert len(message[1]) == 20
    for each in message[1]:
        os.close(each)
    received += 1
print("waited after", sent * 20)
"""
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("waited after ")
