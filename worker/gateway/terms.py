"""
On what terms requests are passed to a server: what they say of who asks, whom
they ask for, and which protocols they may switch to.

The master fills in the spec; here it becomes bytes, once.
"""

from functools import cache
from typing import Literal

import msgspec

Forwarded = Literal["x-forwarded", "forwarded", "both", "none"]

# A server on a UNIX socket has no name of its own.
NAMELESS = "localhost"


class TermsSpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    How an upstream is asked. `host` is "client" (as it came), "upstream" (the server's address) or a name.
    """

    forwarded: Forwarded = "x-forwarded"
    host: str = "client"
    via: str | None = "penstock"
    upgrades: tuple[str, ...] = ("websocket",)  # in lower case
    tunnel_idle_timeout_s: float = 3600.0


class Terms:
    """
    The same for all servers that are asked in the same way, and then the same object.

    `host` None: as it came. `name` None: no Via.
    """

    __slots__ = ("has_forwarded", "has_x_forwarded", "host", "name")

    def __init__(self, forwarded: Forwarded, host: bytes | None, via: str | None) -> None:
        self.has_x_forwarded = forwarded in {"x-forwarded", "both"}
        self.has_forwarded = forwarded in {"forwarded", "both"}
        self.host = host
        self.name = None if via is None else via.encode()

    def via(self, version: str) -> bytes:
        """Return the member of Via for a message that came in this version of HTTP; empty: none."""
        return b"" if self.name is None else b"%b %b" % (version.encode(), self.name)


@cache
def _terms(forwarded: Forwarded, host: bytes | None, via: str | None) -> Terms:
    return Terms(forwarded, host, via)


def terms_for(spec: TermsSpec, address: str) -> Terms:
    """Return the terms for one server."""
    if spec.host == "client":
        host = None
    elif spec.host == "upstream":
        host = authority_of(address)
    else:
        host = spec.host.encode()
    return _terms(spec.forwarded, host, spec.via)


def authority_of(address: str) -> bytes:
    """Return the Host that names a server by its address."""
    return (NAMELESS if address.startswith("unix:") else address).encode()
