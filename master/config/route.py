"""
Routes: which requests they take, and what is done with those.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import AppTarget, HeaderName, HeaderValue, Label, Record, says


class Match(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a route takes. A key that is left out matches everything."""

    LATER: ClassVar[frozenset[str]] = frozenset({"headers", "query", "client"})

    host: Annotated[Annotated[str, kind("host")] | None, says("The Host of the request, without a port.")] = (
        None
    )
    path: Annotated[
        Annotated[str, kind("path")] | None,
        says("A path that ends in '/' is a prefix, any other is exact, '~' starts a regular expression."),
    ] = None
    methods: Annotated[
        Annotated[frozenset[Annotated[str, kind("method")]], Meta(min_length=1)] | None,
        says("Methods that the route takes."),
    ] = None


class Respond(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed response."""

    status: Annotated[int, Meta(ge=200, le=599), says("The status code.")] = 200
    headers: Annotated[
        dict[HeaderName, HeaderValue | tuple[HeaderValue, ...]],
        says("Response headers; a list sends a header more than once."),
    ] = field(default_factory=dict)
    body: Annotated[str, says("The body, sent as UTF-8.")] = ""

    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """Flatten the headers, and say what the body is when the operator did not."""
        pairs = [
            (name, value)
            for name, values in self.headers.items()
            for value in ((values,) if isinstance(values, str) else values)
        ]
        if self.body and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("content-type", "text/plain; charset=utf-8"))
        return tuple(pairs)


class Route(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matching rule and what to do with the requests it takes: one of `app` and `respond`."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "auth",
            "compression",
            "cors",
            "files",
            "handler",
            "proxy",
            "rate_limit",
            "redirect",
            "rewrite",
            "timeouts",
        }
    )

    name: Annotated[Label | None, says("The route label in metrics and logs. Default: its path.")] = None
    match: Annotated[Match, says("Which requests the route takes. Default: all.")] = Match()
    app: Annotated[AppTarget | None, says("An ASGI or WSGI application to call, as module:attribute.")] = None
    factory: Annotated[bool, says("Call the attribute to get the application.")] = False
    interface: Annotated[
        Literal["auto", "asgi3", "asgi2", "wsgi"],
        says("What the application is called with; auto: found out by looking at it."),
    ] = "auto"
    respond: Annotated[Respond | None, says("A fixed response.")] = None

    @property
    def label(self) -> str:
        """Its name, else its path: what its numbers are counted under. Routes may share it."""
        return self.name or self.match.path or "/"
