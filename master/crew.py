"""
The forked children, and the channels to them.

Knows how to fork, how to talk and how to reap; not who should run, nor what
the messages mean.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from penstock.master.fork import fork_child
from penstock.worker.channel import Channel, ChannelClosed, ChannelFull
from penstock.worker.logs import LOG
from penstock.worker.messages import Give, MessageError, ToChild, ToMaster, decode_for_master, encode

# How often `flush` looks whether a child reads again.
FLUSH_PAUSE_S = 0.01


@dataclass(frozen=True)
class Exit:
    """The end of a child."""

    pid: int
    status: int  # as waitpid gave it

    def __str__(self) -> str:
        """Say it as a person would."""
        code = os.waitstatus_to_exitcode(self.status)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


class Crew:
    """Every child that has a channel, by pid."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._channels: dict[int, Channel] = {}
        # Takes over the descriptors of connections that a child gives away; see relay.py.
        self.on_give: Callable[[int, Give, list[int]], None] | None = None

    def fork(self, let_go: Callable[[], None], live: Callable[[Channel], int]) -> int:
        """Fork a child that lives with its end of a new channel; return its pid. Raises OSError."""
        ours, theirs = Channel.pair()

        def let_go_of_crew() -> None:
            let_go()
            ours.close()
            for channel in self._channels.values():
                channel.close()
            self._selector.close()

        try:
            pid = fork_child(let_go_of_crew, lambda: live(theirs))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.adopt(pid, ours)
        return pid

    def adopt(self, pid: int, channel: Channel) -> None:
        """Take over a child that is already there."""
        self._channels[pid] = channel
        self._selector.register(channel.fileno(), selectors.EVENT_READ, pid)

    def has_channel(self, pid: int) -> bool:
        """Whether a child can still be talked to; one that cannot is about to be reaped."""
        return pid in self._channels

    def channel_fd(self, pid: int) -> int:
        """Give the descriptor of our end, to be inherited across execve."""
        return self._channels[pid].fileno()

    def send(self, pid: int, message: ToChild, fds: list[int] | None = None) -> bool:
        """Tell a child, and say whether it will hear it: it may be gone, or read nothing any more."""
        channel = self._channels.get(pid)
        if channel is None:
            return False
        try:
            channel.send(encode(message), fds)
        except ChannelClosed:
            return False
        except ChannelFull:
            LOG.error("process %d reads no messages; dropped %s", pid, type(message).__name__)
            return False
        self._watch(channel, pid)
        return True

    def waiting(self, pid: int) -> int:
        """Count the messages that a child leaves unread beyond what the kernel keeps."""
        channel = self._channels.get(pid)
        return 0 if channel is None else channel.outgoing_count

    def flush(self, pids: Iterable[int], timeout_s: float) -> list[int]:
        """Wait until what was sent to these children is in the kernel; list those who are in the way."""
        until_s = time.monotonic() + timeout_s
        while unread := [pid for pid in pids if self.waiting(pid)]:
            for pid in unread:
                try:
                    self._channels[pid].flush()
                except ChannelClosed:
                    self._drop(pid)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(FLUSH_PAUSE_S, left_s))
        return unread

    def receive(self, pid: int, events: int) -> Iterator[ToMaster]:
        """Give what a child has sent, and send what waits for it."""
        channel = self._channels.get(pid)
        if channel is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                channel.flush()
            while (received := channel.receive()) is not None:
                message = self._read(pid, *received)
                if message is not None:
                    yield message
        except ChannelClosed:
            self._drop(pid)
            return
        self._watch(channel, pid)

    def _read(self, pid: int, payload: bytes, fds: list[int]) -> ToMaster | None:
        try:
            message = decode_for_master(payload)
        except MessageError as error:
            LOG.warning("ignored what process %d sent: %s", pid, error)
            message = None
        if isinstance(message, Give) and self.on_give is not None:
            self.on_give(pid, message, fds)
            return None
        for fd in fds:
            os.close(fd)
        return message

    def _drop(self, pid: int) -> None:
        """Close the channel of a child that is about to be reaped: it would be ready for ever."""
        channel = self._channels.pop(pid)
        self._selector.unregister(channel.fileno())
        channel.close()

    def forget(self, pid: int) -> None:
        """Close the channel of a child that was reaped."""
        channel = self._channels.pop(pid, None)
        if channel is not None:
            self._selector.unregister(channel.fileno())
            channel.close()

    def _watch(self, channel: Channel, pid: int) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.has_outgoing else 0)
        self._selector.modify(channel.fileno(), events, pid)


def reap() -> Iterator[Exit]:
    """Collect every child that has ended, strangers included: as PID 1 a master inherits them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield Exit(pid, status)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child that was not reaped yet, so the pid is surely its."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
