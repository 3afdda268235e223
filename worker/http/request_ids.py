"""
A name for each request, by which it is found again in the logs of everybody who had a part in it.

It comes with the request, if clients are trusted to name them, or is made here.
The app finds it among the request's headers and the client among the response's.
"""

import os
import re
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING

from penstock.worker.http.head import Headers
from penstock.worker.http.notes import Notes
from penstock.worker.spec import RequestIdSpec

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

# 80 bits: among a million workers that ever were, two with the same are as likely as 1 to 10^12.
_PREFIX_BYTES = 10

_VALID = re.compile(rb"[!-~]{1,128}")


class RequestIds:
    """Gives the requests of one worker their ids."""

    __slots__ = ("_count", "_is_trusting", "_prefix", "header")

    def __init__(self, spec: RequestIdSpec) -> None:
        """Prepare; in the worker, since what is random before a fork is the same after it."""
        self.header = spec.header.lower().encode("latin-1")
        self._is_trusting = spec.trust
        self._prefix = os.urandom(_PREFIX_BYTES).hex()
        self._count = count(1)

    def make(self) -> str:
        """Make an id that no other worker makes, nor this one again: 32 hexadecimal digits."""
        return f"{self._prefix}{next(self._count):012x}"

    def open(self, exchange: "Exchange", context: Context | None) -> None:
        """Name a request that begins."""
        name = self.header
        headers = exchange.scope["headers"]
        pair: tuple[bytes, bytes] | None = None
        for each in headers:
            if each[0] == name:
                pair = self._kept(headers)
                break
        if pair is None:
            request_id = self.make()
            pair = (name, request_id.encode("ascii"))
            headers.append(pair)
        else:
            request_id = pair[1].decode("ascii")
        notes = exchange.notes
        if notes is None:
            notes = exchange.notes = Notes()
        notes.request_id = request_id
        notes.headers += (pair,)

    def _kept(self, headers: Headers) -> tuple[bytes, bytes] | None:
        """Give the one that came, if it is to be kept; else take out all that did."""
        given = [pair for pair in headers if pair[0] == self.header]
        if self._is_trusting and len(given) == 1 and _VALID.fullmatch(given[0][1]) is not None:
            return given[0]
        headers[:] = [pair for pair in headers if pair[0] != self.header]
        return None
