"""
Addresses of upstream servers as the operator writes them: `host:port`, `[::1]:port`, `unix:/path`.

Pure text. A name is looked up by whoever connects.
"""

import re

from penstock.master.config import bind
from penstock.master.config.problems import Mismatch

EXPECTED = "host:port, [::1]:port or unix:/path"
PATTERN = r"(http://)?([^/]*:[0-9]{1,5}/?)|unix:.+"
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


def read_proxy(text: str) -> str:
    """Read where a route passes requests to: an upstream's name, or a server. Raises Mismatch."""
    if NAME.fullmatch(text):
        return text
    if ":" in text:
        return read_server(text)
    raise Mismatch(f"the name of an upstream, or a server: {EXPECTED}")
