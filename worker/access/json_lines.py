"""
Lines of JSON, one object each: ASCII, in which only the newline ends a line.

Pure. Put together by hand, which takes half the time of building and encoding
an object; every text comes through `escapes`.
"""

from functools import lru_cache
from typing import Final

from penstock.worker.access import entry as at
from penstock.worker.access.atoms import Line
from penstock.worker.access.clock import Clock
from penstock.worker.access.entry import Entry
from penstock.worker.access.escapes import is_plain, json_bytes, json_text
from penstock.worker.access.redaction import Redaction
from penstock.worker.gateway.trail import Trail
from penstock.worker.limits import ACCESS_FIELD_BYTES_MAX, ACCESS_LINE_BYTES_MAX

# As many listeners, routes and methods as there usually are; they come with every line.
_LABELS_MAX: Final = 256

# A name is cut after so many characters, which are 12 bytes each at worst.
_LABEL_CHARS_MAX: Final = 100

# A line that would be too long is written again with this much of each field. Escapes make at most
# six of a byte, so with the last it fits whatever was sent.
_SHORTER_BYTES: Final = (256, 32)

_NOTHING: Final = '""'

# Of a request that is tried again and again.
_ATTEMPTS_MAX: Final = 12

_NO_UPSTREAM: Final = (
    'null,"server":null,"upstream_status":null,"upstream_connect_s":null,"upstream_first_byte_s":null,'
    '"upstream_s":null,"upstream_failure":null,"attempts":[]'
)


def json_line(redaction: Redaction, *, pid: int, slot: int) -> Line:
    """Make the function that writes lines of JSON, without their newline."""

    @lru_cache(_LABELS_MAX)
    def label(text: str) -> str:
        return json_text(text[:_LABEL_CHARS_MAX])

    @lru_cache(_LABELS_MAX)
    def protocol(version: str) -> str:
        return json_text(f"HTTP/{version}"[:_LABEL_CHARS_MAX])

    def upstream(trail: Trail, elapsed_us: int) -> str:
        """Write the name, and the keys that follow it on a listener that has upstreams."""
        if trail.upstream is None:
            return _NO_UPSTREAM
        attempts = ",".join(map(label, trail.tried[:_ATTEMPTS_MAX]))
        return (
            f'{label(trail.upstream)},"server":{label(trail.server or "")},'
            f'"upstream_status":{trail.status or "null"},'
            f'"upstream_connect_s":{_seconds(trail.connect_us)},'
            f'"upstream_first_byte_s":{_seconds(trail.first_byte_us(elapsed_us))},'
            f'"upstream_s":{_seconds(trail.server_us(elapsed_us))},'
            f'"upstream_failure":{label(trail.failure) if trail.failure else "null"},"attempts":[{attempts}]'
        )

    iso = Clock().iso
    redacted_query = redaction.query
    redacted = redaction.header

    def write(entry: Entry) -> str:
        (
            time_s,
            client,
            method,
            path,
            query,
            version,
            headers,
            status,
            sent_bytes,
            elapsed_us,
            route,
            listener,
            request_id,
            _,
            trail,
        ) = entry
        referer = agent = None
        for name, value in headers:
            if name == b"user-agent":
                agent = redacted(name, value)
            elif name == b"referer":
                referer = redacted(name, value)
        if query:
            query = redacted_query(query)
        chosen = b" ".join((path, query, referer or b"", agent or b""))
        # One look at all of them; nearly always there is nothing to be done.
        show = _as_it_is if len(chosen) <= ACCESS_FIELD_BYTES_MAX and is_plain(chosen) else json_bytes
        return (
            f'{{"time":"{iso(time_s)}","client":{label(client[0]) if client else "null"},'
            f'"method":{label(method) if method else "null"},"path":{show(path) if method else "null"},'
            f'"query":{show(query) if query else _NOTHING},'
            f'"protocol":{protocol(version) if method else "null"},"status":{status},"bytes":{sent_bytes},'
            f'"duration":{elapsed_us / 1e6:.6f},"route":{label(route)},"listener":{label(listener)},'
            f'"upstream":{"null" if trail is None else upstream(trail, elapsed_us)},'
            f'"worker":{slot},"pid":{pid},'
            f'"request_id":{json_text(request_id) if request_id else "null"},'
            f'"referer":{"null" if referer is None else show(referer)},'
            f'"user_agent":{"null" if agent is None else show(agent)}}}'
        )

    def line(entry: Entry) -> str:
        text = write(entry)
        if len(text) < ACCESS_LINE_BYTES_MAX:
            return text
        for size in _SHORTER_BYTES:
            text = write(_shortened(entry, size))
            if len(text) < ACCESS_LINE_BYTES_MAX:
                break
        return text

    return line


def _seconds(us: int | None) -> str:
    return "null" if us is None else f"{us / 1e6:.6f}"


def _as_it_is(value: bytes) -> str:
    return f'"{value.decode("ascii")}"'


def _shortened(entry: Entry, size: int) -> Entry:
    headers = [(name, value[:size]) for name, value in entry[at.HEADERS]]
    return (
        *entry[: at.PATH],
        entry[at.PATH][:size],
        entry[at.QUERY][:size],
        entry[at.HTTP_VERSION],
        headers,
        *entry[at.STATUS :],
    )
