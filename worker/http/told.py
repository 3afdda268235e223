"""
Connections whose ends a proxy has told of, before their first byte: they have those addresses as their own.

Elsewhere nothing knows of it: whoever asks a connection for its names gets what was told.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.worker.gateway.relay import RelayedConnection
from penstock.worker.http.connection import Connection, Names, TlsConnection
from penstock.worker.http.head import RequestError
from penstock.worker.proxy_protocol.header import Endpoints, HeaderError, read_header, write_v2

if TYPE_CHECKING:
    from penstock.worker.http.site import Site


def names_told(endpoints: Endpoints) -> Names:
    """Give the client's and the server's address as a scope has them."""
    client, server = endpoints
    return (
        None if isinstance(client, str) else client,
        (server, None) if isinstance(server, str) else server,
    )


def endpoints_from(told: bytes) -> Endpoints | None:
    """Read what a connection that was put away was told; None: nothing that makes sense."""
    try:
        header = read_header(told)
    except HeaderError:
        return None
    return None if header is None else header.endpoints


class ToldConnection(Connection):
    """One that can be parked, and takes along what was told."""

    __slots__ = ("_endpoints",)

    def __init__(self, site: "Site", endpoints: Endpoints, *, is_resumed: bool = False) -> None:
        super().__init__(site, is_resumed=is_resumed)
        self._endpoints = endpoints

    def names(self) -> Names:
        """Give what was told."""
        return names_told(self._endpoints)

    def leave(self, park: Callable[..., bool]) -> bool:
        """End here what goes on elsewhere, under the same names."""
        return super().leave(partial(park, told=write_v2(self._endpoints)))


class ToldRelayedConnection(ToldConnection, RelayedConnection):
    """One of a site with routes to upstreams."""

    __slots__ = ()


class ToldTlsConnection(TlsConnection):
    """One that speaks TLS, and stays where it is."""

    __slots__ = ("_endpoints",)

    def __init__(self, site: "Site", endpoints: Endpoints) -> None:
        super().__init__(site)
        self._endpoints = endpoints

    def names(self) -> Names:
        """Give what was told."""
        return names_told(self._endpoints)


class RefusedConnection(Connection):
    """One that did not begin with what was to be told. It is answered, read out and closed."""

    __slots__ = ("_line",)

    def __init__(self, site: "Site", line: bytes) -> None:
        super().__init__(site)
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer."""
        super().connection_made(transport)
        error = RequestError(HTTPStatus.BAD_REQUEST, "a PROXY protocol header has to come first")
        self._refuse(error, head=self._line)
