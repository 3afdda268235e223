"""
A request on its way through that is in no way out of the ordinary.

It is begun and ended in C (`native/relay.c`), which copies the one that its route
keeps. It becomes a Passage like any other as soon as somebody asks for more:
its scope is made when it is looked at.
"""

from typing import Any

from penstock.worker.asgi.types import Scope
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.answer import Answer
from penstock.worker.http.blocks import KnownBlock
from penstock.worker.http.route import Route

_SCOPE: Any = Answer.scope  # type: ignore[misc]  # the slot itself


class Errand(Passage):
    """A Passage that knows its method, its target and the block of headers that it came with."""

    __slots__ = ("block", "method")

    block: KnownBlock
    method: str

    @property
    def scope(self) -> Scope:
        """What an app would be given."""
        try:
            scope: Scope = _SCOPE.__get__(self, Errand)
        except AttributeError:
            headers, _, _, _ = self.block
            scope = self.connection.scope_of(self.method, self._target, headers.copy())
            _SCOPE.__set__(self, scope)
        return scope

    @scope.setter
    def scope(self, scope: Scope) -> None:
        _SCOPE.__set__(self, scope)


def prototype_of(route: Route, upstream: Upstream) -> Errand:
    """Make the errand that those of a route are copied from: everything but what is a request's own."""
    nobody: Any = None
    errand = Errand(nobody, route.meter, nobody)
    _SCOPE.__delete__(errand)
    errand._upstream = upstream
    errand._is_sent = True  # There is no body.
    errand._attempts = 1
    return errand
