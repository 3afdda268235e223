"""Every message arrives as it was sent, and what is none is refused in one way."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway.spec import ServerSpec
from penstock.worker.messages import (
    MESSAGES_VERSION,
    Adopt,
    Ask,
    Changed,
    Drain,
    Failed,
    Found,
    Give,
    GiveTold,
    Members,
    MessageError,
    Ready,
    Release,
    Released,
    ReopenAccess,
    ReopenLog,
    Resolved,
    Snapshot,
    StandIn,
    Take,
    TakeTold,
    ToChild,
    ToMaster,
    decode_for_child,
    decode_for_master,
    encode,
)

TO_CHILD: list[ToChild] = [
    Adopt("[::]:8080", (0, 5, 1023)),
    Adopt("unix:/run/ä.sock", ()),
    Release("127.0.0.1:80", (3,)),
    Drain(2.5),
    Drain(timeout_s=0.0, is_last=True, orphaned=("127.0.0.1:80", "fd:3")),
    Drain(30.0, can_give=True),
    Take("[::]:8080", (75000, 0)),
    Take("fd:3", (12,), is_returned=True),
    TakeTold("fd:3", (12, 13), is_returned=True, told=(b"\r\n\r\n\0\r\nQUIT\n\x21", b"")),
    ReopenLog(),
    ReopenAccess(),
    Snapshot(b'{"workers": []}'),
    StandIn("no module named shop"),
    Members("backend", (ServerSpec(address="10.0.0.1:80", name="shop.test:80", weight=3, priority=1),)),
]
TO_MASTER: list[ToMaster] = [
    Ready(),
    Failed("no module named shop"),
    Failed("lifespan failed", detail="Traceback ...\n  ünïcödé\n"),
    Released(),
    Give("127.0.0.1:80", (74500,) * 128),
    GiveTold("127.0.0.1:80", (74500,) * 128, (b"x" * 232,) * 128),
    Ask("scale", 4, "a1b2"),
    Ask("reload", None, ""),
    Changed(("main.py", "shop/models.py"), 17),
    Resolved("backend", "shop.test:80", (Found("10.0.0.1:80"), Found("[::1]:80", 5, 10))),
]


def test_no_kind_of_message_is_missing_here() -> None:
    assert {type(message) for message in TO_CHILD} == set(get_args(ToChild))
    assert {type(message) for message in TO_MASTER} == set(get_args(ToMaster))


def test_a_release_that_would_forget_what_was_told_does_not_understand() -> None:
    """
    It would take the load balancer for the client; so it drops the message, and with it the connections.
    """
    old_child, old_master = Drain | Take | ReopenLog, Ready | Give | Ask
    told = (b"PROXY ...",)
    for kind, message in (
        (old_child, TakeTold("fd:3", (1,), told=told)),
        (old_master, GiveTold("fd:3", (1,), told)),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(encode(message)[1:], type=kind)


@pytest.mark.parametrize("message", TO_CHILD, ids=repr)
def test_a_child_reads_what_the_master_wrote(message: ToChild) -> None:
    assert decode_for_child(encode(message)) == message
    with pytest.raises(MessageError):
        decode_for_master(encode(message))


@pytest.mark.parametrize("message", TO_MASTER, ids=repr)
def test_the_master_reads_what_a_child_wrote(message: ToMaster) -> None:
    assert decode_for_master(encode(message)) == message
    with pytest.raises(MessageError):
        decode_for_child(encode(message))


@pytest.mark.parametrize("version", [0, MESSAGES_VERSION + 1, 255])
def test_another_version_is_refused_by_its_number(version: int) -> None:
    """Whatever follows may mean something else there."""
    datagram = bytes([version]) + encode(Ready())[1:]
    with pytest.raises(MessageError, match=f"a message of version {version:02x}, not {MESSAGES_VERSION}"):
        decode_for_master(datagram)


def test_an_empty_datagram_is_refused() -> None:
    with pytest.raises(MessageError, match="of version none"):
        decode_for_child(b"")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "unheard_of"},
        {"listener": "a", "shards": [1]},
        {"type": "adopt", "listener": "a"},
        {"type": "adopt", "listener": "a", "shards": ["one"]},
        {"type": "drain", "timeout_s": "soon"},
        ["adopt", "a", [1]],
        None,
    ],
    ids=repr,
)
def test_a_message_of_another_shape_is_refused(body: object) -> None:
    with pytest.raises(MessageError, match="not a message"):
        decode_for_child(bytes([MESSAGES_VERSION]) + msgspec.msgpack.encode(body))


def test_a_field_that_a_later_release_added_is_no_obstacle() -> None:
    """A hot restart keeps running workers of the release before."""
    body = {"type": "drain", "timeout_s": 1.0, "mood": "good"}
    assert decode_for_child(bytes([MESSAGES_VERSION]) + msgspec.msgpack.encode(body)) == Drain(1.0)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_does_no_harm(rubbish: bytes) -> None:
    for decode in (decode_for_child, decode_for_master):
        for datagram in (rubbish, bytes([MESSAGES_VERSION]) + rubbish):
            try:
                decode(datagram)
            except MessageError:
                pass


@given(at=st.integers(1, 1000), byte=st.integers(0, 255))
def test_a_damaged_message_is_read_or_refused(at: int, byte: int) -> None:
    for message in TO_CHILD:
        datagram = bytearray(encode(message))
        datagram[at % len(datagram)] = byte
        try:
            decode_for_child(bytes(datagram))
        except MessageError:
            pass


def test_a_thousand_nested_lists_are_refused() -> None:
    """Under a key that nobody reads, where no type stops them."""
    body = b"\x82\xa1x" + b"\x91" * 100_000 + b"\xc0\xa4type\xa5ready"
    with pytest.raises(MessageError):
        decode_for_master(bytes([MESSAGES_VERSION]) + body)
