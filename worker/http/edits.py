"""
What a route changes of a request before it is answered, and of its response.

Done when everybody who opens an exchange has seen it as it came, so an id that was given
is known, and whoever looks at it afterwards finds in the notes what the client had asked.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from penstock.worker.http.notes import Notes
from penstock.worker.http.rewrite import Rewrite
from penstock.worker.http.template import Template
from penstock.worker.http.variables import VARIABLES
from penstock.worker.spec import EditsSpec, HeaderEdit

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

Fields = list[tuple[bytes, bytes]]
Change = Callable[[Fields], Fields]


class HeaderChanges:
    """Changes of headers, summed up: names that are dropped, then headers that are put behind the others."""

    __slots__ = ("_dropped", "_put", "_ready", "names")

    def __init__(self, edits: Sequence[HeaderEdit]) -> None:
        dropped: set[bytes] = set()
        put: list[tuple[bytes, Template]] = []
        for kind, name, text in edits:
            key = name.lower().encode("latin-1")
            if kind != "add":
                dropped.add(key)
                put = [each for each in put if each[0] != key]
            if kind != "remove":
                put.append((key, Template(text, VARIABLES)))
        self._dropped = frozenset(dropped)
        self._put = tuple(put)
        self.names = frozenset(name for name, _ in put)
        self._ready: Change | None = None
        if not any(template.names for _, template in put):
            fixed = [(name, template.render(_nothing)) for name, template in put]
            self._ready = partial(changed, self._dropped, fixed)

    def for_exchange(self, exchange: "Exchange") -> Change:
        """Give the change for one request, with its variables as they are now."""
        if self._ready is not None:
            return self._ready

        def value(name: str) -> bytes:
            return VARIABLES[name](exchange)

        return partial(changed, self._dropped, [(name, each.render(value)) for name, each in self._put])


def changed(dropped: frozenset[bytes], put: Fields, headers: Fields) -> Fields:
    """Change headers; the list that is given stays as it is."""
    return [*(each for each in headers if each[0].lower() not in dropped), *put]


def guarded(headers: Fields, names: frozenset[bytes]) -> Fields:
    """
    Have no Connection header name what was put there.

    What it names does not go further than one hop, so a client could have it taken away again.
    """
    if not any(name == b"connection" for name, _ in headers):
        return headers
    return [(name, _without(value, names) if name == b"connection" else value) for name, value in headers]


def _without(options: bytes, names: frozenset[bytes]) -> bytes:
    kept = (each.strip(b" \t") for each in options.split(b","))
    return b", ".join(each for each in kept if each.lower() not in names)


def _nothing(_: str) -> bytes:
    return b""


class Edits:
    """All that a route changes."""

    __slots__ = ("_request", "_response", "rewrite")

    def __init__(self, spec: EditsSpec, *, is_app: bool) -> None:
        self.rewrite = None if spec.rewrite is None else Rewrite(spec.rewrite, is_app=is_app)
        self._request = HeaderChanges(spec.request) if spec.request else None
        self._response = HeaderChanges(spec.response) if spec.response else None

    @property
    def changes_request(self) -> bool:
        """Tell whether whoever answers gets another request than the client sent."""
        return self.rewrite is not None or self._request is not None

    def apply(self, exchange: "Exchange") -> None:
        """Change the request, and have its response changed."""
        scope = exchange.scope
        notes = exchange.notes
        if notes is None:
            notes = exchange.notes = Notes()
        if self._response is not None:
            notes.change = self._response.for_exchange(exchange)
        if not self.changes_request:
            return
        headers = scope["headers"]
        notes.asked = scope["raw_path"], scope["query_string"], headers
        if self._request is not None:
            changed_headers = self._request.for_exchange(exchange)(headers)
            scope["headers"] = guarded(changed_headers, self._request.names)
        if self.rewrite is not None:
            scope["root_path"], scope["path"], scope["raw_path"] = self.rewrite.apply(
                scope["root_path"], scope["path"], scope["raw_path"]
            )
