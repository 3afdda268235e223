"""
What the access log does not tell: values that a log had better not have.

Pure. Whatever is hidden is replaced by one mark, so that its presence still shows.
"""

import re
from collections.abc import Iterable
from typing import Final

from penstock.worker.limits import ACCESS_FIELD_BYTES_MAX

HIDDEN: Final = b"***"

# Not the name of a header: the values in query strings, wherever one is shown.
QUERY: Final = "query"

# Hidden unless the operator says otherwise.
USUALLY_HIDDEN: Final = ("authorization", "cookie", "set-cookie", "proxy-authorization", QUERY)

# Headers whose value is an address, with a query of its own.
_ADDRESSES: Final = frozenset((b"referer", b"location", b"content-location"))

_VALUE = re.compile(rb"=[^&]*")


class Redaction:
    """What is hidden in the lines of one access log."""

    def __init__(self, names: Iterable[str] = USUALLY_HIDDEN) -> None:
        lowered = {name.lower() for name in names}
        self.hides_query = QUERY in lowered
        self._headers = frozenset(name.encode("latin-1", "replace") for name in lowered - {QUERY})

    def query(self, query: bytes) -> bytes:
        """Hide the values of a query string, and leave the names."""
        if not query or not self.hides_query:
            return query
        if len(query) > ACCESS_FIELD_BYTES_MAX:
            return self.query(query[:ACCESS_FIELD_BYTES_MAX]) + b"..."
        hidden = _VALUE.sub(b"=***", query)
        if hidden.count(b"=***") == hidden.count(b"&") + 1:
            return hidden
        # Some have no name, so they may be anything.
        return b"&".join(
            [
                name + b"=***" if equals else name and HIDDEN
                for name, equals, _ in [pair.partition(b"=") for pair in hidden.split(b"&")]
            ]
        )

    def header(self, name: bytes, value: bytes) -> bytes:
        """Hide what is not to be seen of a header. Its name is in lower case."""
        if name in self._headers:
            return HIDDEN
        if name in _ADDRESSES and self.hides_query:
            end = value.find(b"?")
            fragment = value.find(b"#")
            if fragment >= 0 and not 0 <= end < fragment:
                end = fragment
            if end >= 0:
                return value[: end + 1] + self.query(value[end + 1 :])
        return value

    def hides(self, name: bytes) -> bool:
        """Tell whether a header's whole value is hidden."""
        return name in self._headers
