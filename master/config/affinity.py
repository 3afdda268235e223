"""
Which requests belong to the same server of an upstream: by a hash, or by a cookie.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says

# Just above 100 nearly every key is moved; ten times its share is no bound any more.
FACTOR_MIN = 101
FACTOR_MAX = 1000


class Hash(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `balance: consistent_hash` finds the server of a request."""

    by: Annotated[
        Annotated[str, kind("hash_key")],
        says("What is hashed: header:NAME, cookie:NAME, query:NAME, client, path or uri."),
    ]
    algorithm: Annotated[
        Literal["rendezvous", "maglev"],
        says("What is exact: that few keys move when servers change (rendezvous), or the shares (maglev)."),
    ] = "rendezvous"
    balance_factor: Annotated[
        Annotated[int, Meta(ge=FACTOR_MIN, le=FACTOR_MAX)] | None,
        says(
            "Percent of its share that a server may be busy with; beyond, keys go to others. none: no bound."
        ),
    ] = None


class Sticky(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cookie that keeps a client with the server that it has had first."""

    cookie: Annotated[Annotated[str, kind("cookie_name")], says("Its name.")]
    ttl_s: Annotated[
        Duration | None, says("How long a browser keeps it; none: until the browser is closed.")
    ] = field(default=None, name="ttl")
    path: Annotated[Annotated[str, kind("cookie_path")], says("Below which path a browser sends it.")] = "/"
    secure: Annotated[bool, says("Whether a browser sends it over TLS only.")] = False
    http_only: Annotated[bool, says("Whether scripts of a page cannot see it.")] = True
    same_site: Annotated[
        Literal["lax", "strict", "none"], says("Whether requests that other sites cause carry it.")
    ] = "lax"
    secret: Annotated[
        Annotated[str, kind("password")] | None,
        says("What server names are hashed with; without, who guesses an address can tell that it is right."),
    ] = None

    def __repr__(self) -> str:
        """Show all but the secret."""
        return f"Sticky(cookie={self.cookie!r}, secret={'None' if self.secret is None else '***'})"
