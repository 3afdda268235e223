"""
Tells the service manager how the server is, as sd_notify(3) has it.

A notification is a datagram to the socket that $NOTIFY_SOCKET names. It never
waits and never fails: whoever does not listen is not told, and whoever is slow
to listen is told later.
"""

import os
import socket
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass

from penstock.worker.logs import LOG

# What the service manager says to this process alone. An app that found them would speak for us.
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

# One line of `systemctl status`.
STATUS_CHARS_MAX = 300

# What waits while the socket is full: a few reloads from beginning to end, of which the last one counts.
UNSENT_MAX = 16

# A service manager that wants to hear more often than this is misconfigured.
WATCHDOG_PERIOD_S_MIN = 0.01


@dataclass(frozen=True)
class Situation:
    """What the service manager is interested in."""

    has_served: bool
    is_changing: bool  # a reload or a hot restart is under way
    is_stopping: bool
    text: str


class Announcer:
    """
    Works out what is to be said. Pure.

    A hot restart goes on under another image of the same process, which
    `resumes`: the service was ready and is being changed.
    """

    def __init__(self, *, resumes: bool) -> None:
        self._is_ready = resumes
        self._is_reloading = resumes
        self._is_stopping = False
        self._text = ""

    def order(self, now_us: int) -> list[str]:
        """
        Say that a reload or a hot restart was ordered.

        Each is said: who asked systemd for one waits for an answer that is
        younger than the question. One that comes to nothing is over at the next `tell`.
        """
        if not self._is_ready or self._is_stopping:
            return []
        self._is_reloading = True
        return [f"RELOADING=1\nMONOTONIC_USEC={now_us}"]

    def tell(self, now: Situation) -> list[str]:
        """Say what has changed since the last time."""
        words: list[str] = []
        if now.is_stopping:
            if not self._is_stopping:
                words.append("STOPPING=1")
            self._is_stopping = True
        elif now.has_served and (not self._is_ready or (self._is_reloading and not now.is_changing)):
            words.append("READY=1")
            self._is_ready, self._is_reloading = True, False
        text = " ".join(now.text.split())[:STATUS_CHARS_MAX]
        if text != self._text:
            words.append(f"STATUS={text}")
            self._text = text
        return ["\n".join(words)] if words else []


def take_variables(environ: MutableMapping[str, str]) -> tuple[str, ...]:
    """Take the variables out of the environment, so that nobody else speaks for the service."""
    return tuple(environ.pop(name, "") for name in _VARIABLES)


class Notifier:
    """Says it, and that the master lives, often enough for the watchdog."""

    def __init__(
        self, announcer: Announcer, address: str | None = None, watchdog_s: float | None = None
    ) -> None:
        self._announcer = announcer
        self._address = address
        self._period_s = max(watchdog_s / 2, WATCHDOG_PERIOD_S_MIN) if watchdog_s is not None else None
        self._unsent: deque[str] = deque(maxlen=UNSENT_MAX)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        # When the next sign of life is due, by the monotonic clock; None for never.
        self.deadline_s = 0.0 if self._socket is not None and self._period_s is not None else None

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str], *, resumes: bool) -> "Notifier":
        """Do what the service manager's variables say, and take them out of the environment."""
        address, watchdog_usec, watchdog_pid = take_variables(environ)
        if address[:1] not in ("/", "@"):
            if address:
                LOG.warning("NOTIFY_SOCKET %s is no path; the service manager is told nothing", address)
            address = ""
        watchdog_s = None
        if watchdog_usec.isdecimal() and int(watchdog_usec) and watchdog_pid in ("", str(os.getpid())):
            watchdog_s = int(watchdog_usec) / 1e6
        return cls(Announcer(resumes=resumes), address or None, watchdog_s)

    def order(self) -> None:
        """A reload or a hot restart was ordered."""
        self._send(self._announcer.order(time.monotonic_ns() // 1000))

    def tell(self, situation: Situation) -> None:
        """Say how it is, if that is news, and what could not be said before."""
        self._send(self._announcer.tell(situation))

    def tick(self, now_s: float) -> None:
        """Say that the master lives, when that is due."""
        if self.deadline_s is not None and now_s >= self.deadline_s:
            assert self._period_s is not None
            self.deadline_s = now_s + self._period_s
            if not self._unsent:
                self._say("WATCHDOG=1")  # If that fails, the next one is soon enough.

    def close(self) -> None:
        """Say nothing any more: a forked process is not the service."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, messages: list[str]) -> None:
        for message in messages:
            if self._unsent and self._unsent[-1].startswith("STATUS=") and message.startswith("STATUS="):
                self._unsent.pop()  # It would be true no more.
            self._unsent.append(message)
        while self._unsent and self._say(self._unsent[0]):
            self._unsent.popleft()

    def _say(self, message: str) -> bool:
        """Send one message; False if it has to wait."""
        if self._socket is None or self._address is None:
            return True
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            self._socket.sendto(message.encode("utf-8", "replace"), address)
        except BlockingIOError:
            return False
        except OSError as error:
            LOG.debug("cannot tell the service manager: %s", error)
        return True
