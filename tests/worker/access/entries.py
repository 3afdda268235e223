"""Entries as a site would make them, for tests."""

from typing import Any

from penstock.worker.access.entry import Entry, Fields

# 21 November 2026, 08:50:02.125 UTC.
TIME_S = 1795251002.125

HEADERS: Fields = [
    (b"host", b"example.com"),
    (b"user-agent", b"curl/8"),
    (b"referer", b"https://a.example/b?token=secret"),
    (b"authorization", b"Basic Ym9iOnB3"),
    (b"cookie", b"session=secret"),
    (b"x-forwarded-for", b"10.0.0.1"),
]


def entry(**changed: Any) -> Entry:
    """Make an entry, with some of it changed."""
    fields: dict[str, Any] = {
        "time_s": TIME_S,
        "client": ("127.0.0.1", 54321),
        "method": "GET",
        "path": b"/a/b",
        "query": b"page=3&token=secret",
        "version": "1.1",
        "headers": HEADERS,
        "status": 200,
        "sent_bytes": 512,
        "elapsed_us": 1_234_567,
        "route": "shop",
        "listener": "web",
        "request_id": "id-1",
        "response_headers": [(b"Content-Type", b"text/plain"), (b"set-cookie", b"session=secret")],
        "trail": None,
    }
    assert changed.keys() <= fields.keys()
    return tuple((fields | changed).values())
