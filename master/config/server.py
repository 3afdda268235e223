"""
Addresses of upstream servers as the operator writes them: `host:port`, `unix:/path`, `srv:name`.

Pure text. A name is looked up by whoever needs it.
"""

import ipaddress
import re

from penstock.master.config import bind
from penstock.master.config.problems import Mismatch

EXPECTED = "host:port, [::1]:port, unix:/path or srv:name"
PATTERN = r"(http://)?([^/]*:[0-9]{1,5}/?)|unix:.+|srv:.+"
# A name as DNS has it, which a service's begins with underscores: _http._tcp.example.com.
SERVICE = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?"
)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def read_server(text: str) -> str:
    """Read the address of a server. Raises Mismatch."""
    if text.startswith("https://"):
        raise Mismatch(f"{EXPECTED}: TLS to a server is not supported yet")
    bare = text.removeprefix("http://")
    if bare != text:
        bare = bare.removesuffix("/")
        if "/" in bare:
            raise Mismatch(f"{EXPECTED}, without a path")
        if re.fullmatch(r"[^:]+|\[.*\]", bare):
            bare += ":80"
    if bare.startswith("unix:"):
        return str(bind.parse_bind(bare))
    if bare.startswith("srv:"):
        if not SERVICE.fullmatch(bare.removeprefix("srv:")):
            raise Mismatch(EXPECTED, hint="a service is named as in srv:_http._tcp.example.com")
        return bare.lower()
    host, colon, port = bare.rpartition(":")
    if not colon or bare.startswith("fd:"):
        guess = f"127.0.0.1:{bare}" if bare.isdecimal() else f"{bare}:80"
        raise Mismatch(EXPECTED, hint=f"did you mean {guess!r}?" if NAME.fullmatch(bare) else "")
    try:
        address = bind.TcpBind(bind.read_host(host or "127.0.0.1"), bind.read_port(port))
    except Mismatch as mismatch:
        raise Mismatch(EXPECTED, hint=mismatch.hint) from None
    if address.port == 0 or bind.is_wildcard(address.host):
        raise Mismatch(f"{EXPECTED} that one can connect to")
    return str(address)


def is_name(address: str) -> bool:
    """Tell whether an address that was read is a name, which stands for other addresses."""
    if address.startswith("srv:"):
        return True
    if address.startswith("unix:"):
        return False
    host = address.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def read_nameserver(text: str) -> str:
    """Read the address of a name server, and write it with its port. Raises Mismatch."""
    expected = "an IP address, maybe with a port: 10.0.0.2, 10.0.0.2:53 or [::1]:53"
    host, port = text, "53"
    try:
        ipaddress.ip_address(text.strip("[]"))
        host = text.strip("[]")
    except ValueError:
        host, _, port = text.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
        number = bind.read_port(port)
    except (ValueError, Mismatch):
        raise Mismatch(expected) from None
    if number == 0:
        raise Mismatch(expected)
    return f"[{ip}]:{number}" if ip.version == 6 else f"{ip}:{number}"


def read_proxy(text: str) -> str:
    """Read where a route passes requests to: an upstream's name, or a server. Raises Mismatch."""
    if NAME.fullmatch(text):
        return text
    if ":" in text:
        return read_server(text)
    raise Mismatch(f"the name of an upstream, or a server: {EXPECTED}")
