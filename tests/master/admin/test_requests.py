"""`/requests` and `/slow` show what workers are at and what went wrong, and paths to the owner alone."""

from typing import TYPE_CHECKING, Any

from penstock.master.admin.requests import in_flight, incidents
from penstock.shm import names
from penstock.shm.board import BoardWriter, method_tag, route_tag, with_server
from penstock.shm.events import EventWriter

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site


def test_requests_in_flight_are_told_oldest_first(site: "Site") -> None:
    """Of all workers, with the route by its name."""
    tag = route_tag(site.requests) | method_tag("GET")
    BoardWriter(site.rows[0].board).begin(tag, 4_000, b"/young")
    BoardWriter(site.rows[1].board).begin(tag, 1_000, b"/old")
    told = in_flight(site.segment, 1_000_001_000, shows_paths=True)
    assert [(each["path"], each["slot"], each["age_s"]) for each in told] == [
        ("/old", 1, 1.0),
        ("/young", 0, 0.999997),
    ]
    assert {each["route"] for each in told} == {"/"}
    assert {each["state"] for each in told} == {"asked"}


def test_paths_are_for_the_owner(site: "Site") -> None:
    """Others see which route it is, and no word of a client's."""
    BoardWriter(site.rows[0].board).begin(route_tag(site.requests) | method_tag("GET"), 1, b"/secret")
    push(site, 0, path="/secret")
    for told in (
        in_flight(site.segment, 2, shows_paths=False),
        incidents(site.segment, shows_paths=False),
    ):
        assert [(each["path"], each["route"]) for each in told] == [(None, "/")]


def test_board_of_a_dead_worker_is_not_believed(site: "Site") -> None:
    """Its requests died with it."""
    BoardWriter(site.rows[0].board).begin(route_tag(site.requests) | method_tag("GET"), 1, b"/")
    site.rows[0].release()
    assert in_flight(site.segment, 2, shows_paths=True) == []
    site.segment.retire(site.rows[0].index)
    site.start_worker(slot=0, pid=4_000_010)
    assert in_flight(site.segment, 2, shows_paths=True) == []


def test_incidents_are_told_youngest_first_also_of_the_dead(site: "Site") -> None:
    """Whoever looks after a crash wants to know what was before it."""
    push(site, 0, time_ns=3_000_000_000, path="/third")
    push(site, 1, time_ns=4_000_000_000, path="/fourth")
    push(site, 0, time_ns=1_000_000_000, path="/first", request_id="x-1")
    site.segment.retire(site.rows[0].index)
    told = incidents(site.segment, shows_paths=True)
    assert [(each["path"], each["at"]) for each in told] == [
        ("/fourth", 4.0),
        ("/third", 3.0),
        ("/first", 1.0),
    ]
    assert (told[2]["request_id"], told[1]["request_id"]) == ("x-1", None)


def test_word_that_is_no_route_has_no_name(site: "Site") -> None:
    """A damaged entry is shown without one."""
    BoardWriter(site.rows[0].board).begin(route_tag(9_999) | method_tag("PUT"), 1, b"/")
    [told] = in_flight(site.segment, 2, shows_paths=True)
    assert (told["route"], told["method"]) == (None, "PUT")


def test_the_server_that_has_a_request_is_named(site: "Site") -> None:
    """In flight, and afterwards with the reason why it did not answer."""
    labels = (("upstream", "backend"), ("server", "10.0.0.1:9000"))
    word = site.segment.series.define_group(
        names.UPSTREAM_REQUESTS, "counter", labels, "code", names.CODE_CLASSES
    )
    board = BoardWriter(site.rows[0].board)
    entry = board.begin(route_tag(site.requests) | method_tag("GET"), 1, b"/")
    assert entry is not None
    [told] = in_flight(site.segment, 2, shows_paths=True)
    assert (told["upstream"], told["server"]) == (None, None)
    board.go_on(entry, 1, with_server(0, word))
    [told] = in_flight(site.segment, 2, shows_paths=True)
    assert (told["upstream"], told["server"], told["sent_bytes"]) == ("backend", "10.0.0.1:9000", 0)
    board.go_on(entry, 1, with_server(0, site.requests))  # no server's
    assert in_flight(site.segment, 2, shows_paths=True)[0]["server"] is None

    push(site, 0, path="/", server=word, failure="timeout")
    push(site, 1, path="/")
    told, other = sorted(incidents(site.segment, shows_paths=True), key=lambda each: each["slot"])
    assert (told["server"], told["failure"]) == ("10.0.0.1:9000", "timeout")
    assert (other["server"], other["failure"]) == (None, None)


def push(site: "Site", row: int, *, path: str, time_ns: int = 1, **more: Any) -> None:
    """Have a worker note a failed request."""
    EventWriter(site.rows[row]).push(
        time_ns=time_ns,
        elapsed_us=5,
        sent_bytes=7,
        status=500,
        route=site.requests,
        method="GET",
        path=path,
        **more,
    )
