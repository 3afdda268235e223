"""
A child's end of what ties it to the master, inside its event loop.

Messages come in through a callback; the end of the lifeline, or of the channel,
means that the master is gone.
"""

import asyncio
import os
from collections.abc import Callable

from penstock.worker.channel import Channel, ChannelClosed
from penstock.worker.logs import LOG
from penstock.worker.messages import MessageError, ToChild, ToMaster, decode_for_child, encode

# What is read in one turn of the loop: a message can bring 128 connections, which take half a
# millisecond to park.
MESSAGES_PER_TURN_MAX = 16


class MasterLink:
    """The channel and the lifeline, read by the running loop."""

    def __init__(
        self,
        channel: Channel,
        lifeline_fd: int,
        *,
        on_message: Callable[[ToChild, list[int]], None],
        on_master_gone: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._lifeline_fd = lifeline_fd
        self._on_message = on_message
        self._on_master_gone = on_master_gone
        self._loop = asyncio.get_running_loop()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._loop.add_reader(channel.fileno(), self._receive)
        self._loop.add_reader(lifeline_fd, self._master_gone)

    def send(self, message: ToMaster, fds: list[int] | None = None) -> None:
        """Tell the master. One that is gone is noticed elsewhere; one that does not read: ChannelFull."""
        try:
            self._channel.send(encode(message), fds)
            if self._channel.has_outgoing:
                self._flushed.clear()
                self._loop.add_writer(self._channel.fileno(), self._flush)
        except ChannelClosed:
            pass

    async def flushed(self) -> None:
        """Wait until all that was sent is in the kernel, which keeps it even if this process ends."""
        await self._flushed.wait()

    def close(self) -> None:
        """Stop listening to the master; nothing is sent any more."""
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._loop.remove_reader(self._lifeline_fd)
        self._channel.close()

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except ChannelClosed:
            return
        if not self._channel.has_outgoing:
            self._flushed.set()
            self._loop.remove_writer(self._channel.fileno())

    def _receive(self) -> None:
        for _ in range(MESSAGES_PER_TURN_MAX):
            try:
                received = self._channel.receive()
            except ChannelClosed:
                self._master_gone()
                return
            if received is None:
                return
            payload, fds = received
            try:
                message = decode_for_child(payload)
            except MessageError as error:
                LOG.warning("ignored what the master sent: %s", error)
                for fd in fds:
                    os.close(fd)
                continue
            self._on_message(message, fds)

    def _master_gone(self) -> None:
        self._loop.remove_reader(self._lifeline_fd)
        self._loop.remove_reader(self._channel.fileno())
        self._on_master_gone()
