"""
The forked children, and the channels to them.

Knows how to fork, how to talk and how to reap; not who should run, nor what
the messages mean.
"""

import os
import selectors
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from penstock.master.fork import fork_child
from penstock.worker.channel import Channel, ChannelClosed, ChannelFull
from penstock.worker.logs import LOG
from penstock.worker.messages import MessageError, ToChild, ToMaster, decode_for_master, encode


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

    def receive(self, pid: int, events: int) -> Iterator[ToMaster]:
        """Give what a child has sent, and send what waits for it."""
        channel = self._channels.get(pid)
        if channel is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                channel.flush()
            while (received := channel.receive()) is not None:
                payload, fds = received
                for fd in fds:
                    os.close(fd)
                try:
                    yield decode_for_master(payload)
                except MessageError as error:
                    LOG.warning("ignored what process %d sent: %s", pid, error)
        except ChannelClosed:
            # It is about to be reaped; until then its descriptor would be ready for ever.
            self._selector.unregister(channel.fileno())
            self._channels.pop(pid).close()
            return
        self._watch(channel, pid)

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
