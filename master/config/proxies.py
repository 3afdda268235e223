"""
Who may say for whom a request is made: the proxies that a listener trusts, as they are written.
"""

import ipaddress

from penstock.master.config.problems import Mismatch

# nginx on this machine, over TCP or a UNIX socket. Who may connect to the latter is settled by the
# permissions of its file, so it is no less trusted than the address that every process here can use.
TRUSTED_BY_DEFAULT = ("127.0.0.1", "::1", "unix:")

EXPECTED = "an IP address, a network such as 10.0.0.0/8, 'unix:' or '*'"


def read_trusted_proxy(text: str) -> str:
    """Read one proxy or network of them, and write it the one way in which equal ones are equal."""
    if text == "*":
        return text
    if text in {"unix", "unix:"}:
        return "unix:"
    try:
        if "/" not in text:
            return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Mismatch(EXPECTED, hint=_hint(text)) from None


def _hint(text: str) -> str:
    try:
        return f"did you mean {str(ipaddress.ip_network(text, strict=False))!r}?"
    except ValueError:
        return "a host name cannot be trusted: write its address" if text[:1].isalpha() else ""
