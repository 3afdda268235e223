"""
Addresses and networks of peers as the operator writes them.
"""

import ipaddress

from penstock.master.config.problems import Mismatch

EXPECTED = "an IP address, a network such as 10.0.0.0/8, or 'unix:'"


def read_network(text: str, *, expected: str = EXPECTED, no_names: str = "") -> str:
    """
    Read one address or network, and write it the one way in which equal ones are equal. Raises Mismatch.

    `no_names` is what is told of a host name.
    """
    if text in {"unix", "unix:"}:
        return "unix:"
    try:
        if "/" not in text:
            return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Mismatch(expected, hint=_hint(text) or (no_names if text[:1].isalpha() else "")) from None


def _hint(text: str) -> str:
    try:
        return f"did you mean {str(ipaddress.ip_network(text, strict=False))!r}?"
    except ValueError:
        return ""
