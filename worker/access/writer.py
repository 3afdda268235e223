"""
A thread that writes blocks of lines, so that a slow disk or a reader that does not read stops nobody.

To a file a block is one write. To anything else, a pipe, a terminal or the
journal's socket, it is pieces of whole lines, none longer than what the kernel
takes in one go: lines of several processes do not mix.
"""

import os
import select
import stat
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

from penstock.worker.limits import ACCESS_COMPLAINT_S, ACCESS_LINE_BYTES_MAX, ACCESS_UNWRITTEN_BYTES_MAX
from penstock.worker.logs import LOG

# How often a thread that waits for a reader looks whether it is to write somewhere else.
LOOK_S = 0.5


class Writer:
    """
    Writes to a descriptor, which it takes over. The thread is started with the first block.

    Of each number below one of the two threads is the only writer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._next_fd: int | None = None
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # of the two descriptors
        # By whoever hands over:
        self._given_bytes = 0
        self._given_lines = 0
        # By the thread:
        self._done_bytes = 0
        self._done_lines = 0
        self.lost_lines = 0
        self._is_torn = False  # the last line that was written has no end
        self._complains_s = 0.0

    @property
    def has_room(self) -> bool:
        """Tell whether it takes another block."""
        return self._given_bytes - self._done_bytes < ACCESS_UNWRITTEN_BYTES_MAX

    @property
    def unwritten_lines(self) -> int:
        """Count the lines that were handed over, and are neither written nor lost."""
        return self._given_lines - self._done_lines

    def write(self, block: bytes, line_count: int) -> None:
        """Have whole lines written. Never blocks."""
        self._given_bytes += len(block)
        self._given_lines += line_count
        self._queue.put(block)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="penstock-access-log", daemon=True)
            self._thread.start()

    def swap(self, fd: int) -> None:
        """Write to another descriptor from the next line on, and close the one before."""
        with self._lock:
            before, self._next_fd = self._next_fd, fd
        if before is not None:
            os.close(before)
        if self._thread is None:
            self._turn()
        else:
            self._queue.put(b"")  # It may have nothing to write for long.

    # In the thread.

    def _run(self) -> None:
        while True:
            block = self._queue.get()
            for piece in pieces(block, is_file=self._is_file()):
                self._write(piece)
                self._done_bytes += len(piece)
                self._done_lines += piece.count(b"\n")

    def _is_file(self) -> bool:
        self._turn()
        try:
            return stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError:
            return False

    def _turn(self) -> None:
        """Go on with the descriptor that was given, if any was."""
        with self._lock:
            if self._next_fd is None:
                return
            before, self._fd, self._next_fd = self._fd, self._next_fd, None
            self._is_torn = False
        os.close(before)

    def _write(self, piece: bytes) -> None:
        self._turn()
        rest = memoryview(b"\n" + piece if self._is_torn else piece)
        while rest:
            try:
                size = os.write(self._fd, rest)
            except BlockingIOError:
                # Whoever shares the pipe has made it so. It has room again, or there is another.
                self._wait()
                if self._next_fd is not None and not self._is_torn:
                    self._turn()
                continue
            except OSError as error:
                self.lost_lines += bytes(rest).count(b"\n")
                self._complain(error)
                return
            rest = rest[size:]
            # Less than all is written when a disk is full: what follows begins a line of its own.
            self._is_torn = bool(rest)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll(LOOK_S * 1000)

    def _complain(self, error: OSError) -> None:
        now_s = time.monotonic()
        if now_s >= self._complains_s:
            self._complains_s = now_s + ACCESS_COMPLAINT_S
            LOG.error("access log: %s; lines are lost", error.strerror)


def pieces(block: bytes, *, is_file: bool) -> Iterator[bytes]:
    """Cut a block where lines end, into as much as may be written at once."""
    if is_file:
        yield block
        return
    start = 0
    while len(block) - start > ACCESS_LINE_BYTES_MAX:
        end = block.rfind(b"\n", start, start + ACCESS_LINE_BYTES_MAX) + 1
        assert end > start, "a line is longer than what can be written at once"
        yield block[start:end]
        start = end
    yield block[start:]
