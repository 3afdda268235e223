"""
Answers that send a client elsewhere.

Where to is the operator's to say. What a client has put into its path can add to the
path of that, and to nothing else: it cannot name another host, nor end the header.
"""

from typing import TYPE_CHECKING, ClassVar

from penstock.worker.http.captures import Captures, names_of
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.raw_paths import single_slash, uri_safe
from penstock.worker.http.template import Template
from penstock.worker.http.variables import VARIABLES
from penstock.worker.spec import MatchSpec, RedirectAction

if TYPE_CHECKING:
    from penstock.worker.http.route import Route


class Redirect:
    """Where the requests of a route are sent."""

    __slots__ = ("_captures", "_fragment", "_has_query", "_is_local", "_template", "code")

    def __init__(self, action: RedirectAction, match: MatchSpec, root_path: str = "") -> None:
        self.code = action.code
        text, mark, fragment = action.to.partition("#")
        self._fragment = (mark + fragment).encode()
        self._captures = Captures(match.paths, root_path)
        self._template = Template(text, names_of(match.paths) | VARIABLES.keys(), "utf-8")
        self._is_local = text.startswith(("/", "{path}"))
        self._has_query = "?" in text or "{query}" in text

    def location(self, exchange: Exchange) -> bytes:
        """Say where this one is sent."""
        scope = exchange.scope
        raw_path, query, _ = exchange.asked
        captured = self._captures.of(scope["path"], raw_path) if self._template.names else {}

        def value(name: str) -> bytes:
            if name in captured:
                return captured[name]
            if name == "path" and raw_path == b"*":
                return b"/"
            return VARIABLES[name](exchange) if name in VARIABLES else b""

        target = uri_safe(self._template.render(value))
        if self._is_local:
            target = single_slash(target)
        if query and not self._has_query:
            target += b"?" + uri_safe(query)
        return target + uri_safe(self._fragment)


class RedirectExchange(Exchange):
    """An exchange of a `redirect:` route; of a class of its own for each."""

    __slots__ = ()

    redirect: ClassVar[Redirect]

    def answer(self, route: "Route") -> None:
        """Send the client elsewhere."""
        self.respond(self.redirect.code, ((b"location", self.redirect.location(self)),), b"")


def redirecting(redirect: Redirect) -> type[Exchange]:
    """Make the class of the exchanges of a route."""
    return type("RouteRedirect", (RedirectExchange,), {"__slots__": (), "redirect": redirect})
