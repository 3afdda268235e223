"""
A SOCK_SEQPACKET connection between the master and one child.

Sending never blocks: what the kernel does not take waits in a bounded outbox.
Descriptors travel beside the bytes. A payload too large for a datagram goes in
a memfd, so that the caller need not know the limit. Knows nothing of what the
messages mean.
"""

import array
import errno
import os
import socket
import struct
from collections import deque

# The kernel passes at most 253 descriptors in a message; a listener's shards go in pieces of this size.
CHANNEL_DESCRIPTORS_MAX = 128

# About 278 small datagrams fit in the kernel; a child that leaves 1024 more unread is not going to read them.
CHANNEL_OUTBOX_MAX = 1024

# A datagram over about 212 KB gets EMSGSIZE at the default socket buffer size.
INLINE_BYTES_MAX = 64 * 1024

# What the kernel says when it has no room just now. The last: too many descriptors in flight,
# which it counts for the user and bounds by RLIMIT_NOFILE, unless the user is root.
_NO_ROOM = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}

_INLINE = b"I"
_SPILLED = b"S"
_LENGTH = struct.Struct("<Q")
_RECEIVE_BYTES = 1 + INLINE_BYTES_MAX + 1024


def inline_datagram(payload: bytes) -> bytes:
    """Make the datagram of a short payload, for somebody who has only the descriptor of a channel."""
    return _INLINE + payload


class ChannelClosed(Exception):
    """The other end is gone."""


class ChannelFull(Exception):
    """The other end has not read for so long that the outbox is full."""


class Channel:
    """One end of the connection. Owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._outbox: deque[tuple[bytes, list[int]]] = deque()

    @classmethod
    def pair(cls) -> tuple["Channel", "Channel"]:
        """Make both ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def from_fd(cls, fd: int) -> "Channel":
        """Take over an inherited descriptor."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._sock.fileno()

    @property
    def has_outgoing(self) -> bool:
        """Whether something waits for the socket to become writable."""
        return bool(self._outbox)

    @property
    def outgoing_count(self) -> int:
        """How many datagrams wait for the socket to become writable."""
        return len(self._outbox)

    def send(self, payload: bytes, fds: list[int] | None = None) -> None:
        """
        Send now, or as soon as `flush` finds room.

        The descriptors are duplicated first if they must wait. Raises
        ChannelClosed, ChannelFull.
        """
        fds = fds or []
        assert len(fds) <= CHANNEL_DESCRIPTORS_MAX
        if len(payload) > INLINE_BYTES_MAX:
            spilled = _spill(payload)
            try:
                self._send_or_keep(_SPILLED + _LENGTH.pack(len(payload)), [spilled, *fds])
            finally:
                os.close(spilled)
        else:
            self._send_or_keep(_INLINE + payload, fds)

    def _send_or_keep(self, datagram: bytes, fds: list[int]) -> None:
        if not self._outbox and self._try_send(datagram, fds):
            return
        if len(self._outbox) >= CHANNEL_OUTBOX_MAX:
            raise ChannelFull
        self._outbox.append((datagram, _duplicates(fds)))

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it. Raises ChannelClosed."""
        while self._outbox:
            datagram, fds = self._outbox[0]
            if not self._try_send(datagram, fds):
                return
            self._outbox.popleft()
            _close_all(fds)

    def _try_send(self, datagram: bytes, fds: list[int]) -> bool:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([datagram], ancillary, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed from error
        except OSError as error:
            if error.errno in _NO_ROOM:
                return False
            raise
        return True

    def receive(self) -> tuple[bytes, list[int]] | None:
        """
        Take one payload and its descriptors, or None if nothing is there.

        The caller owns the descriptors. Raises ChannelClosed at the end.
        """
        space = socket.CMSG_SPACE((CHANNEL_DESCRIPTORS_MAX + 1) * 4)
        try:
            datagram, ancillary, _, _ = self._sock.recvmsg(_RECEIVE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionResetError as error:
            raise ChannelClosed from error
        fds = _descriptors(ancillary)
        if not datagram:
            _close_all(fds)
            raise ChannelClosed
        kind, rest = datagram[:1], datagram[1:]
        if kind == _SPILLED and fds and len(rest) == _LENGTH.size:
            spilled = fds.pop(0)
            try:
                return os.pread(spilled, _LENGTH.unpack(rest)[0], 0), fds
            finally:
                os.close(spilled)
        return rest, fds

    def close(self) -> None:
        """Close this end, and what still waited to be sent."""
        self._sock.close()
        for _, fds in self._outbox:
            _close_all(fds)
        self._outbox.clear()


def _spill(payload: bytes) -> int:
    fd = os.memfd_create("penstock-message", os.MFD_CLOEXEC)
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _duplicates(fds: list[int]) -> list[int]:
    """Duplicate all of them or none. Raises ChannelFull when there is no room for more descriptors."""
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
    except OSError as error:
        _close_all(made)
        raise ChannelFull from error
    return made


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
