"""
Of which classes the connections of a site are: what it has no need of costs its requests nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

from penstock.worker.gateway.relay import RelayedConnection
from penstock.worker.http.connection import Connection, TlsConnection
from penstock.worker.http.dispatch import dispatched
from penstock.worker.http.told import ToldConnection, ToldRelayedConnection, ToldTlsConnection


class ConnectionTypes(NamedTuple):
    """What makes a connection: one with the addresses of its socket, and one that is told others."""

    plain: Callable[..., Connection]
    told: Callable[..., Connection]


def connection_types(*, is_tls: bool, is_dispatched: bool, is_relayed: bool) -> ConnectionTypes:
    """Choose them. Where requests are dispatched, and where TLS is spoken, none go through in C."""
    plain: type[Connection] = TlsConnection if is_tls else Connection
    told: type[Connection] = ToldTlsConnection if is_tls else ToldConnection
    if is_dispatched:
        return ConnectionTypes(dispatched(plain), dispatched(told))
    if is_relayed and not is_tls:
        return ConnectionTypes(RelayedConnection, ToldRelayedConnection)
    return ConnectionTypes(plain, told)
