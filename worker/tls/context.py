"""
The server's side of TLS as OpenSSL wants it: settings, certificates, and the choice among them.

Made in the master, before workers are forked: they may have dropped the right to
read keys, and with one context they share session tickets.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from penstock.worker.tls.complaints import Complaints
from penstock.worker.tls.handshake import Handshake
from penstock.worker.tls.x509 import Certificate, certificates_of, read_certificate

ClientCert = Literal["none", "optional", "required"]

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_OLDEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Files with a certificate and its key, which may be one, and what the key is encrypted with."""

    cert: str
    key: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a listener speaks TLS."""

    listener: str
    pairs: tuple[KeyPair, ...]
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str | None = None
    client_ca: str | None = None
    client_cert: ClientCert = "none"


class ServerContext(ssl.SSLContext):
    """A context whose handshakes tell of their failures."""

    sslobject_class = Handshake
    listener: str
    complaints: Complaints
    # The certificate that clients get, unless there are several to choose from by the kind of key.
    pem: str | None
    _cipher_numbers: dict[str, int]

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> ssl.SSLObject:
        """Make the TLS of one connection."""
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(made, Handshake)
        made.outgoing = outgoing
        return made

    def cipher_number(self, name: str) -> int | None:
        """Tell the number under which IANA has a cipher suite."""
        if not self._cipher_numbers:
            # OpenSSL puts the protocol above the 16 bits.
            self._cipher_numbers = {each["name"]: each["id"] & 0xFFFF for each in self.get_ciphers()}
        return self._cipher_numbers.get(name)


class ServerNames:
    """
    Which context is for which server name: one that names the host, else one with a wildcard for it,
    else the first. Among equals the first wins. A wildcard stands for one label (RFC 6125, 6.4.3).
    """

    def __init__(self, choices: Sequence[tuple[Sequence[str], ServerContext]]) -> None:
        self.default = choices[0][1]
        self._exact: dict[str, ServerContext] = {}
        self._parents: dict[str, ServerContext] = {}
        for names, context in choices:
            for name in names:
                if name.startswith("*."):
                    self._parents.setdefault(name[2:], context)
                else:
                    self._exact.setdefault(name, context)

    def find(self, name: str | None) -> ServerContext:
        """Find the context for a name that a client has asked for."""
        if name is None:
            return self.default
        name = name.lower().rstrip(".")
        found = self._exact.get(name)
        if found is None:
            _, _, parent = name.partition(".")
            found = self._parents.get(parent, self.default)
        return found

    def choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Give a connection its context. Called by OpenSSL, in the handshake."""
        found = self.find(name)
        if found is not self.default:
            connection.context = found


def open_context(settings: TlsSettings) -> ServerContext:
    """Open the certificates of a listener. Raises OSError, ssl.SSLError, ValueError."""
    complaints = Complaints()
    choices: list[tuple[Sequence[str], ServerContext]] = []
    for group in grouped([(pair, leaf_of(pair.cert)) for pair in settings.pairs]):
        context = _plain_context(settings, complaints)
        for pair, _ in group:
            load_pair(context, pair)
        context.pem = leaf_pem(group[0][0].cert) if len(group) == 1 else None
        choices.append((group[0][1].dns_names, context))
    names = ServerNames(choices)
    if len(choices) > 1:
        names.default.sni_callback = names.choose
    return names.default


def grouped(leaves: Sequence[tuple[KeyPair, Certificate]]) -> list[list[tuple[KeyPair, Certificate]]]:
    """
    Put certificates together between which OpenSSL is to choose: for the same
    names, and with keys of different kinds, such as RSA and ECDSA.
    """
    groups: list[list[tuple[KeyPair, Certificate]]] = []
    for pair, leaf in leaves:
        for group in groups:
            kinds = {each.key_algorithm for _, each in group}
            if set(group[0][1].dns_names) == set(leaf.dns_names) and leaf.key_algorithm not in kinds:
                group.append((pair, leaf))
                break
        else:
            groups.append([(pair, leaf)])
    return groups


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load a certificate and its key. Never asks for a password on the terminal, as OpenSSL would."""
    context.load_cert_chain(pair.cert, pair.key, password=lambda: pair.password or "")


def leaf_of(path: str) -> Certificate:
    """Read the first certificate of a file. Raises OSError, ValueError."""
    found = certificates_of(Path(path).read_bytes())
    if not found:
        raise ValueError(f"{path}: no certificate in PEM")
    return read_certificate(found[0])


def leaf_pem(path: str) -> str:
    """Give the first certificate of a file as PEM and nothing else."""
    return ssl.DER_cert_to_PEM_cert(certificates_of(Path(path).read_bytes())[0])


def _plain_context(settings: TlsSettings, complaints: Complaints) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.listener = settings.listener
    context.complaints = complaints
    context._cipher_numbers = {}
    context.minimum_version = _OLDEST[settings.min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if settings.ciphers is not None:
        context.set_ciphers(settings.ciphers)
    if settings.client_ca is not None:
        context.load_verify_locations(cafile=settings.client_ca)
    context.verify_mode = _VERIFY[settings.client_cert]
    return context
