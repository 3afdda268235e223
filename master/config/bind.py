"""
Addresses as the operator writes them: `host:port`, `:port`, `[::]:port`, `unix:/path`, `fd:3`, `fd:NAME`.

Pure text: no name is looked up and no socket is opened here.
"""

import ipaddress
import re

import msgspec

from penstock.master.config.problems import Mismatch

EXPECTED = "host:port, :port, [::]:port, unix:/path or fd:3"

# sun_path has 108 bytes, and the last is the NUL.
UNIX_PATH_BYTES_MAX = 107
FD_MAX = 1_048_575  # the kernel's default fs.nr_open, less one

# What systemd takes for FileDescriptorName=, as far as it cannot be mistaken for a number.
_FD_NAME = re.compile(r"[A-Za-z][!-9;-~]{0,254}")

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?")


class TcpBind(msgspec.Struct, frozen=True):
    """A TCP address. `host` is a name or a number, without brackets; "::" serves IPv4 too."""

    host: str
    port: int

    def __str__(self) -> str:
        """Show it as it is written in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixBind(msgspec.Struct, frozen=True):
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        """Show it as it is written in the file."""
        return f"unix:{self.path}"


class FdBind(msgspec.Struct, frozen=True):
    """A listening socket that was inherited, by its number or by the service manager's name for it."""

    fd: int | str

    def __str__(self) -> str:
        """Show it as it is written in the file."""
        return f"fd:{self.fd}"


Bind = TcpBind | UnixBind | FdBind


def parse_bind(text: str) -> Bind:
    """
    Read an address. Raises Mismatch.

    >>> str(parse_bind(":8080"))
    '0.0.0.0:8080'
    """
    if text.startswith("unix:"):
        return UnixBind(_unix_path(text.removeprefix("unix:")))
    if text.startswith("fd:"):
        return FdBind(_fd(text.removeprefix("fd:").removeprefix("//")))
    host, colon, port = text.rpartition(":")
    if not colon:
        # `-b 8080` and `-b 0.0.0.0` are the two halves that people leave out.
        whole = f"127.0.0.1:{text}" if text.isdecimal() else f"{text}:8000"
        raise Mismatch(EXPECTED, hint=f"did you mean {whole!r}?" if _HOST.fullmatch(text) else "")
    return TcpBind(read_host(host), read_port(port))


def is_wildcard(host: str) -> bool:
    """Say whether the host stands for every address of the machine."""
    return host in {"0.0.0.0", "::"}


def _unix_path(path: str) -> str:
    if not path or "\0" in path:
        raise Mismatch("a path after unix:, such as unix:/run/app.sock")
    if len(path.encode(errors="surrogateescape")) > UNIX_PATH_BYTES_MAX:
        raise Mismatch(f"a socket path of at most {UNIX_PATH_BYTES_MAX} bytes, as the kernel wants it")
    return path


def _fd(text: str) -> int | str:
    if _FD_NAME.fullmatch(text):
        return text
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > FD_MAX:
        raise Mismatch("the number or the name of a descriptor after fd:, such as fd:3 or fd:web")
    return int(text)


def read_host(text: str) -> str:
    """Read the host of an address; none stands for every IPv4 address. Raises Mismatch."""
    if not text:
        return "0.0.0.0"
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise Mismatch("an IPv6 address between [ and ]") from None
    if ":" in text:
        raise Mismatch(EXPECTED, hint="an IPv6 address is written in brackets, such as [::1]:8000")
    if not _HOST.fullmatch(text):
        raise Mismatch(EXPECTED)
    if re.fullmatch(r"[0-9.]+", text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise Mismatch("an IPv4 address of four numbers from 0 to 255") from None
    return text.lower()


def read_port(text: str) -> int:
    """Read a port; 0 is any free one. Raises Mismatch."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise Mismatch("a port from 0 to 65535 after the last colon")
    return int(text)
