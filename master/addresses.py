"""
The addresses that an operator can write: `host:port`, `[v6]:port`, `unix:/path`, `fd:N`.

Only the notation; nothing here opens or resolves anything.
"""

from dataclasses import dataclass
from pathlib import Path


class AddressError(ValueError):
    """The text is not an address. Says what was expected."""


@dataclass(frozen=True)
class TcpAddress:
    """An IPv4 or IPv6 address or a host name, and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    """A UNIX socket in the file system."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class FdAddress:
    """A listening socket that was inherited under this number."""

    fd: int

    def __str__(self) -> str:
        return f"fd:{self.fd}"


Address = TcpAddress | UnixAddress | FdAddress


def parse_address(text: str) -> Address:
    """Read an address. Raises AddressError."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        path = rest.removeprefix("//") if rest.startswith("///") else rest
        if not path:
            raise AddressError("expected a path after unix:, as in unix:/run/app.sock")
        return UnixAddress(Path(path))
    if scheme == "fd":
        number = rest.removeprefix("//")
        if not (number.isascii() and number.isdigit()):
            raise AddressError("expected a number after fd:, as in fd:3")
        return FdAddress(int(number))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise AddressError('expected "host:port", "[v6]:port", "unix:/path" or "fd:N"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError("expected an IPv6 address in brackets, as in [::1]:8000")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise AddressError("expected a port from 0 to 65535")
    return TcpAddress(host or "0.0.0.0", int(port))
