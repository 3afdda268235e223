"""What a client carries of a trace is taken as W3C has it, or as if it had not been sent."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.baggage import get_all
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import TraceState

from penstock.worker.limits import BAGGAGE_BYTES_MAX, TRACESTATE_MEMBERS_MAX
from penstock.worker.tracing.carriers import (
    Parent,
    is_plain_traceparent,
    read_baggage,
    read_traceparent,
    read_tracestate,
)

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
GOOD = b"00-" + TRACE + b"-" + SPAN + b"-01"

HEX = "0123456789abcdef"
ids = st.tuples(
    st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0")),
    st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0")),
    st.text(HEX, min_size=2, max_size=2),
)


def test_traceparent_is_taken_apart() -> None:
    """The ids as they stand there, and the one flag that means something."""
    assert read_traceparent(GOOD) == Parent(TRACE, SPAN, is_sampled=True)
    assert read_traceparent(GOOD[:-2] + b"00") == Parent(TRACE, SPAN, is_sampled=False)
    assert read_traceparent(GOOD[:-2] + b"fe") == Parent(TRACE, SPAN, is_sampled=False)
    assert read_traceparent(GOOD[:-2] + b"03") == Parent(TRACE, SPAN, is_sampled=True)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-",
        GOOD + b"-more",  # only a later version goes on
        b" " + GOOD,
        GOOD + b" ",
        GOOD + b"\n",
        GOOD.upper(),
        GOOD.replace(b"-", b"_"),
        GOOD.replace(b"4", b"g", 1),
        b"ff" + GOOD[2:],  # the version that will never be
        b"0" + GOOD,
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"cc" + GOOD[2:] + b".more",
        b"cc" + GOOD[2:] + b"-\xff",
        GOOD + b"," + GOOD,
        "\u0966".encode() + GOOD,
    ],
)
def test_rubbish_is_no_traceparent(value: bytes) -> None:
    """Each is the invalid neighbour of a valid one."""
    assert read_traceparent(value) is None
    assert is_plain_traceparent(value) is None


@pytest.mark.parametrize("end", [b"", b"-", b"-what-the-future-will-be"])
def test_later_version_is_read_as_far_as_it_is_known(end: bytes) -> None:
    """W3C asks for it, so that old servers do not break new traces."""
    assert read_traceparent(b"cc" + GOOD[2:] + end) == Parent(TRACE, SPAN, is_sampled=True)
    assert is_plain_traceparent(b"cc" + GOOD[2:] + end) is None


@given(ids)
def test_every_traceparent_is_read(parts: tuple[str, str, str]) -> None:
    """Whatever the ids and the flags."""
    trace_id, span_id, flags = parts
    value = f"00-{trace_id}-{span_id}-{flags}".encode()
    expected = Parent(trace_id.encode(), span_id.encode(), is_sampled=int(flags, 16) % 2 == 1)
    assert read_traceparent(value) == expected
    assert is_plain_traceparent(value)


@given(ids, st.integers(0, 54), st.integers(0, 255))
def test_one_byte_decides(parts: tuple[str, str, str], at: int, byte: int) -> None:
    """Whatever is accepted says again what stood there: nothing is repaired."""
    value = bytearray("00-{}-{}-{}".format(*parts).encode())
    value[at] = byte
    found = read_traceparent(bytes(value))
    if found is not None:
        assert bytes(value[3:35]) == found.trace_id
        assert bytes(value[36:52]) == found.span_id
        assert value[2] == value[35] == value[52] == ord("-")
        assert set(bytes(value).replace(b"-", b"").decode()) <= set(HEX)
        assert value[:2] != b"ff"


@given(st.binary(max_size=80))
def test_any_bytes_are_judged(value: bytes) -> None:
    """A client may send what it likes: nothing raises."""
    read_traceparent(value)
    read_tracestate([value])
    read_baggage([value])


def test_tracestate_is_one_list() -> None:
    """Over all headers, in their order, empty members left out."""
    values = [b"rojo=00f067aa0ba902b7 , ", b"fw529a3039@dt=FfB:2;x", b""]
    assert read_tracestate(values) == [("rojo", "00f067aa0ba902b7"), ("fw529a3039@dt", "FfB:2;x")]


@pytest.mark.parametrize(
    "value",
    [
        b"rojo",
        b"=1",
        b"rojo=",
        b"Rojo=1",
        b"rojo=1,rojo=2",
        b"rojo=a=b",
        b"ro jo=1",
        b"rojo=\xff",
        b"rojo=1\x01",
        b"good=1,b@d@=2",
        b"a" * 257 + b"=1",
        b"rojo=" + b"v" * 257,
        b",".join(b"k%d=1" % number for number in range(TRACESTATE_MEMBERS_MAX + 1)),
    ],
)
def test_tracestate_is_whole_or_nothing(value: bytes) -> None:
    """Half of it would be somebody else's truth."""
    assert read_tracestate([value]) == []


@given(st.lists(st.text(string.printable, max_size=20), max_size=4))
def test_tracestate_that_is_accepted_is_one_for_opentelemetry(texts: list[str]) -> None:
    """It would log what a client sent, were it not."""
    pairs = read_tracestate([text.encode() for text in texts])
    assert list(TraceState(pairs).items()) == pairs


def test_baggage_is_what_opentelemetry_would_have_read() -> None:
    """So that an app sees the same, whoever has read it."""
    value = "user=alice, tenant=a%20b+c;ttl=3;secure,empty=,x=%C3%A9"
    theirs = get_all(W3CBaggagePropagator().extract({"baggage": value}, Context()))
    assert read_baggage([value.encode()]) == dict(theirs)
    first, _, rest = value.partition(",")
    assert read_baggage([first.encode(), rest.encode()]) == dict(theirs)


@pytest.mark.parametrize(
    "value",
    [b"user", b"=alice", b"us er=1", b"user=a b", b'user="a"', b"user=a,,b", b"user=\xff", b"a=1;=2"],
)
def test_baggage_is_whole_or_nothing(value: bytes) -> None:
    """As with the tracestate."""
    assert read_baggage([b"good=1", value]) == {}


def test_baggage_has_a_limit() -> None:
    """One that W3C names, since the app passes it on to everyone."""
    value = b"k=" + b"v" * (BAGGAGE_BYTES_MAX - 2)
    assert list(read_baggage([value])) == ["k"]
    assert read_baggage([value + b"v"]) == {}
    assert read_baggage([b",".join(b"k%d=1" % number for number in range(181))]) == {}
