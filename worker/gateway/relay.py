"""
Introduces the gateway's classes to C, and makes the connections that go that way.

SLOTS is one list with the enumeration in `native/relay.c`, in the same order.
"""

from typing import Final

from penstock.worker.gateway import native
from penstock.worker.gateway.errand import Errand
from penstock.worker.gateway.guard import IDEMPOTENT
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.native import begin
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.connection import METHOD_TAGS, Connection
from penstock.worker.http.head import METHODS, HeadParser
from penstock.worker.http.leaving import Leaving
from penstock.worker.http.phases import DONE, HELD, IDLE
from penstock.worker.http.responses import STATUS_LINES
from penstock.worker.http.route import Route
from penstock.worker.http.wheel import NOT_WATCHED

# fmt: off
SLOTS: Final = (
    (Connection, (
        "site", "intake", "exchange", "_server", "peer", "transport", "_buffer", "_is_eof",
        "is_write_blocked", "keep_alive", "deadline_s",
    )),
    (Leaving, ()),
    (HeadParser, ("_count_max",)),
    (Route, ("errand", "tag")),
    (Errand, (
        "connection", "started_ns", "entry", "link", "_pool", "_target", "_tried", "method", "head",
        "tail", "_upstream", "is_plain", "notes", "meter", "status", "phase", "_sent_ns", "_used",
    )),
    (Upstream, ("pools", "first_byte_deadline_s", "now_s", "request_count", "trials")),
    (Pool, ("idle", "idle_max", "_waiting", "known", "_upstream", "is_wary", "count", "via_line")),
    (Link, (
        "borrower", "request_count", "expected", "deadline_s", "wheel_tick", "transport", "idle_since_s",
        "is_closed", "is_write_blocked", "_is_reading_paused", "pool",
    )),
)
SITE_SLOTS: Final = (
    "is_draining", "openings", "only_route", "router", "board", "head_parser", "received_bytes", "sent_bytes",
    "noted_from_us", "idle_deadline_s", "header_bytes_max",
)
# fmt: on


class RelayedConnection(Connection):
    """A client of a site with routes that are usual enough for C."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if not begin(self, data):
            super().data_received(data)


def introduce(site: type[Leaving]) -> None:
    """Tell C of all classes; the site's is the last to be there."""
    told = tuple((site, SITE_SLOTS) if each is Leaving else (each, names) for each, names in SLOTS)
    # Others go out on links of which they ask more: see `Pool.may_be_stale`.
    methods = {token: name for token, name in METHODS.items() if name in IDEMPOTENT}
    native.attach(told, methods, METHOD_TAGS, IDLE, HELD, DONE, NOT_WATCHED, STATUS_LINES)
