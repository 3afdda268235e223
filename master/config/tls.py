"""TLS of a listener: certificates, versions, and what is asked of clients."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from penstock.master.config.kinds import kind
from penstock.master.config.record import FilePath, Record, says


class Certificate(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate chain and its private key, as PEM files."""

    cert: Annotated[FilePath, says("The certificate, then the chain above it.")]
    key: Annotated[
        FilePath | None, says("The private key. Left out, it is in the file of the certificate.")
    ] = None
    password: Annotated[
        Annotated[str, kind("password")] | None,
        says("What the private key is encrypted with; better as ${NAME} than written down."),
    ] = None

    def __repr__(self) -> str:
        """Show all but the password."""
        hidden = "None" if self.password is None else "***"
        return f"Certificate(cert={self.cert!r}, key={self.key!r}, password={hidden})"


class Tls(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listener."""

    LATER: ClassVar[frozenset[str]] = frozenset({"acme", "alpn"})

    certificates: Annotated[
        tuple[Certificate, ...],
        Meta(min_length=1),
        says("Chosen by the host that a client names; the first one is for all others."),
    ]
    min_version: Annotated[
        Literal["1.2", "1.3"],
        says("The oldest version that is spoken."),
        # Written without quotes it is a number to an editor.
        Meta(extra_json_schema={"x-written": {"enum": ["1.2", "1.3", 1.2, 1.3]}}),
    ] = "1.2"
    ciphers: Annotated[
        str | None, says("Ciphers of TLS 1.2, as OpenSSL writes a list of them. Default: the strong ones.")
    ] = None
    client_ca: Annotated[
        FilePath | None, says("Certificates in PEM of those who may issue clients' certificates.")
    ] = None
    client_cert: Annotated[
        Literal["none", "optional", "required"], says("Whether clients are asked for a certificate.")
    ] = "none"
