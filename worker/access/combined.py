"""
Lines of the combined format, which is what nearly everybody has.

The same as `atoms` makes of it, in half the time: what is usual is written at
once, and all else is left to the careful way.
"""

from penstock.worker.access import entry as at
from penstock.worker.access.atoms import COMBINED, Line, compile_format
from penstock.worker.access.clock import Clock
from penstock.worker.access.entry import Entry
from penstock.worker.access.escapes import is_plain
from penstock.worker.access.redaction import Redaction
from penstock.worker.http.head import METHODS
from penstock.worker.limits import ACCESS_FIELD_BYTES_MAX

_METHODS = frozenset(METHODS.values())


def combined_line(redaction: Redaction, *, pid: int, slot: int) -> Line:
    """Make the function that writes such lines, without their newline."""
    careful = compile_format(COMBINED, redaction, pid=pid, slot=slot)
    common = Clock().common
    redacted = redaction.header
    redacted_query = redaction.query

    def line(entry: Entry) -> str:
        client, method, target, query = entry[at.CLIENT], entry[at.METHOD], entry[at.PATH], entry[at.QUERY]
        referer = agent = b"-"
        for name, value in entry[at.HEADERS]:
            if name == b"user-agent":
                agent = redacted(name, value)
            elif name == b"referer":
                referer = redacted(name, value)
            elif name == b"authorization":
                return careful(entry)
        if query:
            target = b"%b?%b" % (target, redacted_query(query))
        chosen = b" ".join((target, referer, agent))
        if (
            len(chosen) > ACCESS_FIELD_BYTES_MAX
            or entry[at.HTTP_VERSION] != "1.1"
            or method not in _METHODS
            or not is_plain(chosen)
        ):
            return careful(entry)
        return (
            f"{client[0] if client else '-'} - - {common(entry[at.TIME_S])} "
            f'"{method} {target.decode("ascii")} HTTP/1.1" {entry[at.STATUS]} {entry[at.SENT_BYTES] or "-"} '
            f'"{referer.decode("ascii")}" "{agent.decode("ascii")}"'
        )

    return line
