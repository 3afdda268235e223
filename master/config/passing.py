"""
On what terms requests are passed to servers, as it is written: Host, Via, and protocols to switch to.

Pure text.
"""

import re

from penstock.master.config.problems import Mismatch

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?)(:[0-9]{1,5})?")
# What is HTTP again, or hides it: requests that no route has seen.
HTTP_AGAIN = re.compile(r"(h2c?|h3|http/.*|tls/.*)")

UPSTREAM_HOST_EXPECTED = "'client', 'upstream' or a host name"
PSEUDONYM_EXPECTED = "a name of one word, such as penstock"
PROTOCOL_EXPECTED = "a protocol such as websocket"


def read_upstream_host(text: str) -> str:
    """Read which Host servers are asked for. Raises Mismatch."""
    if HOST.fullmatch(text) is None:
        raise Mismatch(UPSTREAM_HOST_EXPECTED)
    return text


def read_pseudonym(text: str) -> str:
    """Read a name for Via: a token, or a host with a port (RFC 9110, section 7.6.3). Raises Mismatch."""
    if not re.fullmatch(TOKEN, text) and HOST.fullmatch(text) is None:
        raise Mismatch(PSEUDONYM_EXPECTED)
    return text


def read_protocol(text: str) -> str:
    """Read a protocol that a connection may switch to, in lower case. Raises Mismatch."""
    protocol = text.lower()
    if HTTP_AGAIN.fullmatch(protocol):
        raise Mismatch(f"{PROTOCOL_EXPECTED}: requests in it would go past the routes")
    if not re.fullmatch(rf"{TOKEN}(/{TOKEN})?", protocol):
        raise Mismatch(PROTOCOL_EXPECTED)
    return protocol
