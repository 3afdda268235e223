"""
What an app is told of the TLS of its connection: the `tls` extension of ASGI.

Worked out with the first request of a connection, and then kept with it.
"""

import ssl
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from penstock.worker.tls.context import ServerContext
from penstock.worker.tls.x509 import distinguished_name, read_certificate

if TYPE_CHECKING:
    from penstock.worker.http.connection import TlsConnection
    from penstock.worker.http.exchange import Exchange

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def tell_of_tls(exchange: "Exchange", _: Context | None) -> None:
    """Put the extension into the scope of a request that begins."""
    connection = cast("TlsConnection", exchange.connection)
    facts = connection.tls_facts
    if facts is None:
        made = connection.transport.get_extra_info("ssl_object")
        if made is None:
            return
        facts = connection.tls_facts = tls_facts(made)
    scope = exchange.scope
    # Of their own: an app may change what it was given.
    extensions = scope["extensions"] = dict(scope.get("extensions") or {})
    extensions["tls"] = facts.copy()


def tls_facts(connection: ssl.SSLObject) -> dict[str, Any]:
    """Tell of a connection what the extension has."""
    context = connection.context if isinstance(connection.context, ServerContext) else None
    cipher = connection.cipher()
    chain = _client_chain(connection)
    return {
        "server_cert": None if context is None else context.pem,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(each) for each in chain],
        "client_cert_name": distinguished_name(read_certificate(chain[0]).subject) if chain else None,
        # One that is not accepted ends the handshake, so there is no request of it.
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None if context is None or cipher is None else context.cipher_number(cipher[0]),
    }


def _client_chain(connection: ssl.SSLObject) -> list[bytes]:
    """List what the client has sent, its own certificate first, as DER."""
    leaf = connection.getpeercert(binary_form=True)
    if leaf is None:
        return []
    if hasattr(connection, "get_unverified_chain"):  # from Python 3.13 on
        return list(connection.get_unverified_chain())
    # Before, it is there without being public. A session that was resumed has no chain.
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain] if chain else [leaf]
