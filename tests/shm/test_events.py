"""Events tell what was slow or failed, whoever wrote them, in whatever words clients chose."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.shm.events import TEXT_BYTES_MAX, EventWriter, read_events
from penstock.shm.row import Kind, Row
from penstock.shm.schema import EVENT_COUNT, Geometry
from penstock.shm.segment import Segment
from tests.shm.conftest import ClaimWorker


def push(writer: EventWriter, **changes: Any) -> None:
    """Push an event that differs from the usual one."""
    usual: dict[str, Any] = {
        "time_ns": 1_700_000_000_000_000_000,
        "elapsed_us": 1_500_000,
        "sent_bytes": 98,
        "status": 200,
        "route": 12,
        "method": "GET",
        "path": "/slow",
    }
    writer.push(**usual | changes)


def test_event_tells_what_was_pushed(claim_worker: ClaimWorker) -> None:
    """Word for word, with who wrote it."""
    row = claim_worker(100, slot=3, generation=7)
    push(EventWriter(row), request_id="abc-1", status=503)
    [event] = read_events(row)
    assert (event.slot, event.generation, event.claim, event.number) == (3, 7, 1, 0)
    assert (event.method, event.path, event.request_id) == ("GET", "/slow", "abc-1")
    assert (event.status, event.route, event.elapsed_us, event.sent_bytes) == (503, 12, 1_500_000, 98)
    assert event.time_ns == 1_700_000_000_000_000_000


def test_event_of_a_request_that_was_passed_on_names_the_server(claim_worker: ClaimWorker) -> None:
    """And why that did not answer. A reader of a release before shows both with the method."""
    row = claim_worker(100, slot=3, generation=7)
    writer = EventWriter(row)
    push(writer, server=1234, failure="connect_timeout", request_id="abc-1")
    push(writer, server=1234)
    push(writer, failure="overload")
    push(writer, method="GET nonsense here")
    assert [(event.method, event.server, event.failure, event.path) for event in read_events(row)] == [
        ("GET", 1234, "connect_timeout", "/slow"),
        ("GET", 1234, "", "/slow"),
        ("GET", 0, "overload", "/slow"),
        ("GET", 0, "here", "/slow"),
    ]


def test_events_outlive_their_worker_and_the_oldest_go_first(
    segment: Segment, claim_worker: ClaimWorker
) -> None:
    """What went wrong before a crash is what one wants to see after it."""
    row = claim_worker(100, slot=0)
    push(EventWriter(row), path="/before")
    segment.retire(row.index)
    assert [event.path for event in read_events(row)] == ["/before"]
    again = claim_worker(101, slot=1)
    assert again.index == row.index
    writer = EventWriter(again)
    push(writer, path="/after")
    assert [(event.path, event.slot) for event in read_events(row)] == [("/before", 0), ("/after", 1)]
    for number in range(EVENT_COUNT):
        push(writer, path=f"/{number}")
    assert [event.path for event in read_events(row)] == [f"/{number}" for number in range(EVENT_COUNT)]
    assert read_events(row, since=EVENT_COUNT)[0].path == f"/{EVENT_COUNT - 2}"


@settings(deadline=None)
@given(st.text(), st.text(alphabet=st.characters(exclude_characters="\n"), max_size=20))
def test_any_path_is_told_up_to_its_limit(path: str, request_id: str) -> None:
    """Long, empty, with line ends, with what UTF-8 cannot write."""
    segment = Segment.create(Geometry(row_count=1, cell_count=8))
    row = _worker(segment)
    push(EventWriter(row), path=path, request_id=request_id)
    [event] = read_events(row)
    encoded = f"GET\n{request_id}\n{path}".encode("utf-8", "replace")
    told = f"{event.method}\n{event.request_id}\n{event.path}".encode("utf-8", "replace")
    if len(encoded) <= TEXT_BYTES_MAX:
        assert told == encoded
    else:
        assert encoded.startswith(told.removesuffix("\ufffd".encode()).rstrip(b"\n"))
    segment.close()


def _worker(segment: Segment) -> Row:
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    row.set_process(100, started=1)
    return segment.adopt(row.index, pid=100, now_ns=2)
