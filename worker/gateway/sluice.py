"""
Lets the rest of a long body through, from a server to a client, past Python.

The kernel moves it from socket to pipe and from pipe to socket (splice), on
duplicates of both transports' descriptors, since the loop does not watch one that
a transport owns. Only for what is plaintext on both sides and has a length: then
every byte up to it is the client's, and nobody has to look at it.

Neither side is read faster than the other takes: what waits is in the pipe, and
in the sockets.
"""

import fcntl
import os
from typing import TYPE_CHECKING

from penstock.worker.limits import SLUICE_BYTES_MIN, SLUICE_BYTES_PER_TURN, SLUICE_PIPE_BYTES, SLUICES_MAX

if TYPE_CHECKING:
    from penstock.worker.gateway.inbound import Inbound
    from penstock.worker.gateway.link import Link

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE

# Who is waited for.
NOBODY, SERVER, CLIENT = range(3)

# All that are under way in this process.
_open: "set[Sluice]" = set()


class Sluice:
    """
    The rest of one response on its way through.

    The client's connection has it as its pour: its wheel watches it, and tells
    it when the connection is gone.
    """

    __slots__ = (
        "_held",
        "_left",
        "_link",
        "_passage",
        "_pipe",
        "_sink",
        "_source",
        "_waits_for",
    )

    def __init__(self, passage: "Inbound", link: "Link", left: int) -> None:
        """Take the descriptors that it needs. Raises OSError when they cannot be had."""
        self._passage = passage
        self._link = link
        self._left = left  # to be read
        self._held = 0  # in the pipe
        self._waits_for = NOBODY
        source: int = link.transport.get_extra_info("socket").fileno()
        sink: int = passage.connection.transport.get_extra_info("socket").fileno()
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._source = self._sink = -1
        try:
            # Refused when the user has as much in pipes as may be, and smaller steps would save nothing.
            fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, SLUICE_PIPE_BYTES)
            self._source = os.dup(source)
            self._sink = os.dup(sink)
        except OSError:
            self.close()
            raise
        _open.add(self)

    @property
    def left(self) -> int:
        """How many bytes the client is waited for to take; 0 while it is not the client."""
        return self._held + self._left if self._waits_for == CLIENT else 0

    def start(self) -> None:
        """Begin, or leave it to the transports if the client has not taken yet what was written."""
        passage, link = self._passage, self._link
        if self._is_over():
            self.close()
        elif passage.connection.transport.get_write_buffer_size():
            self.close()
            link.resume_reading()
        else:
            self._turn()

    def lost(self) -> None:
        """Hear that the client's connection is gone."""
        self.close()

    def close(self) -> None:
        """Let go of everything. What is in the pipe is lost."""
        self._wait_for(NOBODY)
        connection = self._passage.connection
        if connection.pour is self:
            connection.pour = None
        _open.discard(self)
        fds = (*self._pipe, self._source, self._sink)
        self._pipe, self._source, self._sink = (-1, -1), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _is_over(self) -> bool:
        passage = self._passage
        return (
            self._link.is_closed
            or passage.link is not self._link
            or passage.connection.transport.is_closing()
        )

    def _turn(self) -> None:
        if self._is_over():
            self.close()
            return
        moved = 0
        while moved < SLUICE_BYTES_PER_TURN:
            if not self._held and not self._fill():
                break
            taken = self._drain()
            moved += taken
            if self._held:
                break
            if not self._left:
                self._done(moved)
                return
        else:
            # Others get their turn. The client, who takes what comes, is asked again at once.
            self._wait_for(CLIENT)
        if moved:
            self._passage.let_through(self._link, moved)

    def _fill(self) -> bool:
        """Read some; return whether there is any."""
        try:
            self._held = os.splice(
                self._source, self._pipe[1], min(self._left, SLUICE_PIPE_BYTES), flags=_FLAGS
            )
        except BlockingIOError:
            self._wait_for(SERVER)
            return False
        except OSError as error:
            self.close()
            self._link.fail(f"the connection broke: {error}")
            return False
        if not self._held:
            self.close()
            self._link.fail("it closed the connection")
            return False
        self._left -= self._held
        return True

    def _drain(self) -> int:
        """Write some; return how much."""
        try:
            taken = os.splice(self._pipe[0], self._sink, self._held, flags=_FLAGS)
        except BlockingIOError:
            taken = 0
        except OSError:
            connection = self._passage.connection
            self.close()
            connection.abort()  # The client is gone, and all hear of it by that.
            return 0
        self._held -= taken
        if self._held:
            self._wait_for(CLIENT)
        return taken

    def _done(self, moved: int) -> None:
        passage, link = self._passage, self._link
        self.close()
        passage.let_through(link, moved)
        link.reader.skip()
        passage.came(link)

    def _wait_for(self, whom: int) -> None:
        waited_for, self._waits_for = self._waits_for, whom
        if waited_for == whom:
            return
        connection = self._passage.connection
        loop = connection.site.loop
        # Before a descriptor is closed, or epoll would keep it as long as the connection is open.
        if waited_for == SERVER:
            loop.remove_reader(self._source)
        elif waited_for == CLIENT:
            loop.remove_writer(self._sink)
        if whom == SERVER:
            loop.add_reader(self._source, self._turn)
        elif whom == CLIENT:
            loop.add_writer(self._sink, self._turn)
            connection.watch_pour()


def divert(passage: "Inbound", link: "Link") -> bool:
    """
    Let the rest of a response through past Python, if it is one for that: the client has been sent all
    that came so far, or is about to be.
    """
    connection = passage.connection
    left = link.reader.left
    if (
        left < SLUICE_BYTES_MIN
        or passage.framing.left != left
        or connection.site.is_tls
        or connection.is_write_blocked
        or connection.pour is not None
        or len(_open) >= SLUICES_MAX
        or link.transport.get_extra_info("sslcontext") is not None
    ):
        return False
    try:
        sluice = Sluice(passage, link, left)
    except OSError:
        return False  # It goes on as any other.
    connection.pour = sluice
    link.pause_reading()
    # What was written in this turn of the loop goes out at its end.
    connection.site.loop.call_soon(sluice.start)
    return True
