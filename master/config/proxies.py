"""
Who may say for whom a request is made: the proxies that a listener trusts, as they are written.
"""

from penstock.master.config.networks import read_network

# nginx on this machine, over TCP or a UNIX socket. Who may connect to the latter is settled by the
# permissions of its file, so it is no less trusted than the address that every process here can use.
TRUSTED_BY_DEFAULT = ("127.0.0.1", "::1", "unix:")

EXPECTED = "an IP address, a network such as 10.0.0.0/8, 'unix:' or '*'"


def read_trusted_proxy(text: str) -> str:
    """Read one proxy or network of them, and write it the one way in which equal ones are equal."""
    if text == "*":
        return text
    return read_network(text, expected=EXPECTED, no_names="a host name cannot be trusted: write its address")
