"""
Routes: which requests they take, and what is done with those.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.compression import KEY_SAYS, Compression
from penstock.master.config.files import Files
from penstock.master.config.header_changes import HeaderChanges
from penstock.master.config.kinds import kind
from penstock.master.config.record import AppTarget, HeaderName, HeaderValue, Label, Record, says
from penstock.master.config.redirect import Redirect, Rewrite
from penstock.worker.spec import MatchSpec, several

# A millionth is less than anybody can see in the numbers.
WEIGHT_MAX = 1_000_000


HostText = Annotated[str, kind("host")]
PathText = Annotated[str, kind("path")]
WantedValue = bool | Annotated[str, kind("value_match")]


class Match(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a route takes. A key that is left out matches everything."""

    host: Annotated[
        HostText | Annotated[tuple[HostText, ...], Meta(min_length=1)] | None,
        says("The Host of the request, without a port; '*.' stands for what is below a name. Or a list."),
    ] = None
    path: Annotated[
        PathText | Annotated[tuple[PathText, ...], Meta(min_length=1)] | None,
        says(
            "A path that ends in '/' is a prefix, any other is exact, '~' starts a regular expression. "
            "Or a list."
        ),
    ] = None
    methods: Annotated[
        Annotated[frozenset[Annotated[str, kind("method")]], Meta(min_length=1)] | None,
        says("Methods that the route takes."),
    ] = None
    headers: Annotated[
        dict[Annotated[str, kind("field_name")], WantedValue],
        says("Request headers: a value, '~' and a regular expression, true if it is there, false if not."),
    ] = field(default_factory=dict)
    query: Annotated[
        dict[Annotated[str, kind("query_name")], WantedValue],
        says("Parameters of the query, likewise."),
    ] = field(default_factory=dict)
    client: Annotated[
        tuple[Annotated[str, kind("network")], ...],
        says("Addresses and networks of clients, as trusted proxies tell of them; 'unix:' is any local one."),
    ] = ()

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Its hosts, however many."""
        return several(self.host)

    @property
    def paths(self) -> tuple[str, ...] | None:
        """Its paths, however many."""
        return several(self.path)

    def spec(self) -> MatchSpec:
        """Write it as the workers are told."""
        return MatchSpec(
            host=self.host,
            path=self.path,
            methods=self.methods,
            headers=tuple(self.headers.items()),
            query=tuple(self.query.items()),
            client=self.client,
        )


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
    """A matching rule, and what is done with the requests that it takes: one action."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "auth",
            "cors",
            "handler",
            "rate_limit",
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
    redirect: Annotated[Redirect | None, says("Send clients elsewhere.")] = None
    respond: Annotated[Respond | None, says("A fixed response.")] = None
    split: Annotated[
        Annotated[tuple["Variant", ...], Meta(min_length=1)] | None,
        says("Share the requests among variants, by weight; each has an action of its own."),
    ] = None
    split_by: Annotated[
        Annotated[str, kind("split_key")],
        says("What has the same variant each time: client, header:NAME or cookie:NAME; or random."),
    ] = "client"
    rewrite: Annotated[Rewrite | None, says("Ask the app for another path.")] = None
    request_headers: Annotated[
        HeaderChanges | None, says("Changes of the request's headers, before it is answered.")
    ] = None
    response_headers: Annotated[HeaderChanges | None, says("Changes of the response's headers.")] = None
    compression: Annotated[Compression | bool | UnsetType | None, KEY_SAYS] = UNSET

    @property
    def label(self) -> str:
        """Its name, else its path: what its numbers are counted under. Routes may share it."""
        return self.name or (self.match.paths or ("/",))[0]

    @property
    def leaves(self) -> "tuple[Route, ...]":
        """Those that have an action: itself, or its variants."""
        return (self,) if self.split is None else self.split


class Variant(Route, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a route's requests, and what is done with them. It is written as a route without `match`."""

    ABSENT: ClassVar[frozenset[str]] = frozenset({"match", "split", "split_by"})

    weight: Annotated[
        int, Meta(ge=0, le=WEIGHT_MAX), says("Its share, measured by the sum of all weights; 0: none.")
    ]
