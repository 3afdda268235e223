"""Any bytes at all: what is made of requests by mutilation, against a strict reading of the same."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.judging import judge
from tests.fuzz.memory import MemorySite
from tests.fuzz.strict_reading import read
from tests.worker.http.corpus import bounds, fields, framing, request_lines, sequences

SEPARATORS = [
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\0",
    b"\xff",
    b"0",
    b"\r\n\r\n",
    b"\x0b",
]

methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"BREW", b"get", b"CONNECT"])
targets = st.one_of(
    st.sampled_from(
        [b"/", b"/a?b", b"*", b"http://a/b", b"http://a", b"https://a/", b"/a#b", b"a:1", b"/%41%zz"]
    ),
    st.binary(min_size=1, max_size=3).map(lambda tail: b"/" + tail),
)
versions = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"])
names = st.sampled_from(
    [
        b"Connection",
        b"Proxy-Connection",
        b"Expect",
        b"Upgrade",
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"X",
    ]
)
lengths_and_codings = st.sampled_from(
    [
        b"5",
        b"05",
        b"+5",
        b"5, 5",
        b"",
        b"chunked",
        b"Chunked",
        b"gzip, chunked",
        b"chunked, gzip",
        b"identity",
    ]
)
options = st.sampled_from(
    [
        b"close",
        b"keep-alive",
        b"Upgrade",
        b"keep-alive, close",
        b"100-continue",
        b"tea",
        b"a",
        b"a:80",
        b"[::1]",
    ]
)
values = st.one_of(lengths_and_codings, options, st.binary(max_size=3))
bodies = st.sampled_from(
    [
        ([], []),
        ([], []),
        ([b"Content-Length", b": ", b"5", b"\r\n"], [b"hello"]),
        ([b"Content-Length", b": ", b"0", b"\r\n"], []),
        (
            [b"Transfer-Encoding", b": ", b"chunked", b"\r\n"],
            [b"5", b"\r\n", b"hello", b"\r\n", b"0", b"\r\n", b"\r\n"],
        ),
        (
            [b"Transfer-Encoding", b": ", b"chunked", b"\r\n"],
            [
                b"2",
                b";",
                b"a",
                b"=",
                b'"b"',
                b"\r\n",
                b"he",
                b"\r\n",
                b"0",
                b"\r\n",
                b"X",
                b": ",
                b"y",
                b"\r\n",
                b"\r\n",
            ],
        ),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    """Write a request, right or nearly so, as a list of what it is made of."""
    parts = [draw(methods), b" ", draw(targets), b" ", draw(versions), b"\r\n", b"Host", b": ", b"a", b"\r\n"]
    for _ in range(draw(st.integers(0, 2))):
        parts += [draw(names), b": ", draw(values), b"\r\n"]
    framing_parts, body = draw(bodies)
    return [*parts, *framing_parts, b"\r\n", *body]


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """Write some requests, and swap, delete, double and insert here and there."""
    parts = [part for request in draw(st.lists(requests(), min_size=1, max_size=3)) for part in request]
    for _ in range(draw(st.integers(0, 3))):
        at, other = draw(st.tuples(st.integers(0, len(parts) - 1), st.integers(0, len(parts) - 1)))
        match draw(st.sampled_from(["swap", "delete", "double", "insert"])):
            case "swap":
                parts[at], parts[other] = parts[other], parts[at]
            case "delete" if len(parts) > 1:
                del parts[at]
            case "double":
                parts.insert(other, parts[at])
            case _:
                parts.insert(at, draw(st.sampled_from(SEPARATORS)))
    return b"".join(parts)


@pytest.fixture(scope="module")
def memory() -> Iterator[MemorySite]:
    """Have one site for all inputs: none may leave anything behind for the next."""
    site = MemorySite()
    yield site
    site.close()


@given(data=mutilated())
def test_whatever_is_sent_is_read_as_strictly_as_it_can_be(memory: MemorySite, data: bytes) -> None:
    """
    No hang, no traceback, no request that is none, no answer too many, and the same however it comes.
    """
    judge(memory, data)


@pytest.mark.parametrize("module", [request_lines, fields, framing, sequences, bounds])
def test_the_strict_reader_agrees_with_the_corpus(module: object) -> None:
    """
    Or it would be the one to be wrong.
    """
    for case in module.CASES:  # type: ignore[attr-defined]
        if case.limits or case.depends or b"/close" in case.data or b"/fail" in case.data:
            continue  # It knows the defaults, and no app.
        reading = read(case.data)
        requests_count = sum(status in {200, 204, 304} for status in case.answers)
        assert len(reading.requests) == requests_count, case.name
        if case.end != "waiting":
            assert reading.is_refused == (case.answers[-1] >= 400), case.name
