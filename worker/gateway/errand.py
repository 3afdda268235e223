"""
A request on its way through that is in no way out of the ordinary.

It is begun and ended in C (`native/relay.c`), which copies the one that its route
keeps. It becomes a Passage like any other as soon as somebody asks for more:
its scope is made when it is looked at.
"""

import re
from typing import Any

from penstock.worker.asgi.types import Scope
from penstock.worker.gateway import request_head
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.request_head import Origin
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.answer import Answer
from penstock.worker.http.route import Route

_SCOPE: Any = Answer.scope  # type: ignore[misc]  # the slot itself


class Errand(Passage):
    """A Passage that knows the head that it came with, and how its own begins and ends."""

    __slots__ = ("head", "method", "tail")

    head: bytes
    method: str
    # What follows the request's own headers: None stands for the Host, False for the client's address.
    tail: tuple[bytes | bool | None, ...]

    @property
    def scope(self) -> Scope:
        """What an app would be given."""
        try:
            scope: Scope = _SCOPE.__get__(self, Errand)
        except AttributeError:
            connection = self.connection
            _, _, headers, _, _ = connection.site.head_parser.parse(self.head)
            scope = connection.scope_of(self.method, self._target, headers)
            _SCOPE.__set__(self, scope)
        return scope

    @scope.setter
    def scope(self, scope: Scope) -> None:
        _SCOPE.__set__(self, scope)


def prototype_of(route: Route, upstream: Upstream, scheme: str) -> Errand:
    """Make the errand that those of a route are copied from: everything but what is a request's own."""
    nobody: Any = None
    errand = Errand(nobody, route.meter, nobody)
    _SCOPE.__delete__(errand)
    errand._upstream = upstream
    errand._memo = None
    errand._is_sent = True  # There is no body.
    errand._attempts = 1
    errand.tail = tail_of(scheme)
    return errand


def tail_of(scheme: str) -> tuple[bytes | bool | None, ...]:
    """Find out what a head ends with, by composing one and looking where Host and address have gone."""
    host, address = b"\0host\0", "\0address\0"
    origin = Origin(address, scheme)
    composed = request_head.compose([(b"host", host)], origin, authority=b"", is_chunked=False)
    tail: list[bytes | bool | None] = []
    for part in re.split(b"(\0[a-z]+\0)", composed.removeprefix(b"HTTP/1.1\r\n")):
        tail.append(None if part == host else False if part == address.encode() else part)
    return tuple(tail)
