"""
Routes: which requests they take, and what is done with those.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.compression import KEY_SAYS, Compression
from penstock.master.config.files import Files
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
        pairs = flattened(self.headers)
        if self.body and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("content-type", "text/plain; charset=utf-8"))
        return tuple(pairs)


def flattened(headers: Mapping[str, str | tuple[str, ...]]) -> list[tuple[str, str]]:
    """Write headers as pairs: one that has a list comes once for each of its values."""
    return [
        (name, value)
        for name, values in headers.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]


class Route(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matching rule and what is done with requests: one of `app`, `files`, `proxy`, `respond`."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "auth",
            "cors",
            "handler",
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
    files: Annotated[Files | None, says("The files of a folder.")] = None
    proxy: Annotated[
        Annotated[str, kind("proxy")] | None,
        says("The upstream that requests are passed to, or the address of a server."),
    ] = None
    respond: Annotated[Respond | None, says("A fixed response.")] = None
    compression: Annotated[Compression | bool | UnsetType | None, KEY_SAYS] = UNSET

    @property
    def label(self) -> str:
        """Its name, else its path: what its numbers are counted under. Routes may share it."""
        return self.name or self.match.path or "/"
