"""Lines of JSON: every key in every line, and no request that can break one."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.json_lines import json_line
from penstock.worker.access.redaction import Redaction
from penstock.worker.gateway.trail import NOWHERE, Trail
from penstock.worker.limits import ACCESS_LINE_BYTES_MAX
from tests.worker.access.entries import entry

VISIBLE = Redaction([])
KEYS = [
    "time", "client", "method", "path", "query", "protocol", "status", "bytes", "duration", "route",
    "listener", "upstream", "worker", "pid", "request_id", "referer", "user_agent",
]  # fmt: skip


def written(redaction: Redaction = VISIBLE, **changed: Any) -> dict[str, Any]:
    text = json_line(redaction, pid=42, slot=3)(entry(**changed))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < ACCESS_LINE_BYTES_MAX
    return json.loads(text)  # type: ignore[no-any-return]


def test_every_key_is_there() -> None:
    """
    In UTC, in seconds, in bytes; the upstream for when there are some.
    """
    line = written(Redaction())
    assert list(line) == KEYS
    assert line == {
        "time": "2026-11-21T08:50:02.125Z",
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/a/b",
        "query": "page=***&token=***",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 512,
        "duration": 1.234567,
        "route": "shop",
        "listener": "web",
        "upstream": None,
        "worker": 3,
        "pid": 42,
        "request_id": "id-1",
        "referer": "https://a.example/b?token=***",
        "user_agent": "curl/8",
    }


def test_what_is_not_known_is_null() -> None:
    """
    The keys stay, so that whoever reads them need not ask.
    """
    line = written(client=None, method="", path=b"", query=b"", headers=[], request_id=None)
    assert list(line) == KEYS
    unknown = ("client", "method", "path", "protocol", "request_id", "referer", "user_agent")
    assert [line[key] for key in unknown] == [None] * len(unknown)
    assert line["query"] == ""


def test_headers_that_are_redacted_by_name_are_hidden() -> None:
    line = written(Redaction(["user-agent", "referer"]))
    assert (line["user_agent"], line["referer"]) == ("***", "***")


ANY = st.one_of(st.binary(max_size=100), st.binary(min_size=1, max_size=3).map(lambda part: part * 2000))


@given(st.lists(ANY, min_size=4, max_size=4), st.text(max_size=20), st.text(max_size=200))
def test_no_request_can_break_a_line(values: list[bytes], method: str, route: str) -> None:
    """
    However long and strange it is, the line is an object, and short enough to be written whole.
    """
    path, query, referer, agent = values
    headers = [(b"referer", referer), (b"user-agent", agent)]
    labels: dict[str, Any] = {"route": route, "listener": route, "request_id": '"' * 128}
    line = written(path=path, query=query, headers=headers, method=method, **labels)
    assert list(line) == KEYS
    if max(map(len, values)) <= 100:
        assert line["user_agent"] == agent.decode("utf-8", "backslashreplace")


TRAIL = Trail(
    "backend", ("10.0.0.1:9000", "unix:/run/x"), status=503, word=7, connect_us=0, sent_us=34_567,
    head_us=250,
)  # fmt: skip


def test_where_there_are_upstreams_every_line_has_their_keys() -> None:
    """
    Also that of a request which was not passed on, or never reached one.
    """
    line = written(trail=TRAIL)
    assert [key for key in line if key not in KEYS] == [
        "server", "upstream_status", "upstream_connect_s", "upstream_first_byte_s", "upstream_s",
        "upstream_failure", "attempts",
    ]  # fmt: skip
    assert line["upstream"] == "backend"
    assert line["server"] == "unix:/run/x"
    assert (line["upstream_status"], line["upstream_failure"]) == (503, None)
    assert (line["upstream_connect_s"], line["upstream_first_byte_s"], line["upstream_s"]) == (
        0,
        0.00025,
        1.2,
    )
    assert line["attempts"] == ["10.0.0.1:9000", "unix:/run/x"]

    elsewhere = written(trail=NOWHERE)
    assert list(elsewhere) == list(line)
    assert elsewhere["upstream"] is elsewhere["server"] is elsewhere["upstream_s"] is None
    assert elsewhere["attempts"] == []

    unreached = written(trail=Trail("backend", ("10.0.0.1:9000",), failure="connect"))
    assert unreached["upstream_failure"] == "connect"
    assert unreached["upstream_s"] is unreached["upstream_connect_s"] is unreached["upstream_status"] is None


def test_a_request_that_was_tried_again_and_again_has_a_line() -> None:
    """
    Of addresses that are as long as they can be.
    """
    tried = tuple(f"unix:/{number}{'x' * 100}" for number in range(50))
    assert written(trail=Trail("b" * 200, tried), path=b"/" + b"\xff" * 4000)["status"] == 200
