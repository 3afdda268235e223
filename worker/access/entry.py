"""
What is kept of a request until its line is written.

A plain tuple, since making one is on the path of every request; the names below
are the places in it.
"""

from typing import Final

from penstock.worker.gateway.trail import Trail

Fields = list[tuple[bytes, bytes]]

# None stands for what is not known: the client on a UNIX socket, a request id when none is
# given out, the response's headers when no line shows them, the trail when there are no upstreams.
Entry = tuple[
    float,
    tuple[str, int] | None,
    str,
    bytes,
    bytes,
    str,
    Fields,
    int,
    int,
    int,
    str,
    str,
    str | None,
    Fields | None,
    Trail | None,
]

TIME_S: Final = 0  # of its response, by the wall clock
CLIENT: Final = 1
METHOD: Final = 2  # "" if it never said one
PATH: Final = 3
QUERY: Final = 4
HTTP_VERSION: Final = 5
HEADERS: Final = 6
STATUS: Final = 7
SENT_BYTES: Final = 8  # of the whole response, with its head
ELAPSED_US: Final = 9
ROUTE: Final = 10
LISTENER: Final = 11
REQUEST_ID: Final = 12
RESPONSE_HEADERS: Final = 13
TRAIL: Final = 14
