"""What one image writes the next one reads, or refuses in words."""

import os
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.handover import (
    HANDOVER_VERSION,
    Handover,
    HandoverError,
    HeldAdmin,
    HeldGeneration,
    HeldListener,
    HeldShard,
    HeldWorker,
    read_handover,
    write_handover,
)
from penstock.master.operations import Operation

WORKER = HeldWorker(
    pid=100,
    slot=0,
    generation=3,
    row=2,
    core=None,
    state="ready",
    since_s=12.5,
    spawned_s=12.25,
    drain_reason=None,
    is_killed=False,
    channel_fd=20,
)
WEB = HeldListener(name="web", address="[::]:8080", backlog=2048, fds=(7, 8))
FULL = Handover(
    directory="/srv/current",
    name="8080",
    started_at_s=1_700_000_000.25,
    last_generation=3,
    slot_count=2,
    configured_workers="auto",
    master_row=0,
    segment_fd=4,
    lifeline_fds=(5, 6),
    listeners=(WEB,),
    control=HeldListener(name="control", address="unix:/run/x", backlog=128, fds=(9,)),
    admin_listener=HeldListener(name="admin", address="127.0.0.1:9180", backlog=128, fds=(10,)),
    pidfile=("/run/x.pid", 11),
    workers=(
        WORKER,
        msgspec.structs.replace(
            WORKER,
            pid=101,
            slot=1,
            core=1,
            state="draining",
            channel_fd=21,
            stacks_fd=23,
            silent_since_s=11.5,
        ),
    ),
    admins=(HeldAdmin(pid=200, row=9, channel_fd=22),),
    generations=(
        HeldGeneration(number=3, addresses=("[::]:8080",), drain_timeout_s=30.0, access_path="/var/log/a"),
    ),
    shards=(HeldShard(address="[::]:8080", index=0, pids=(100, 101)),),
    worker_restarts={"crash": 2},
    admin_account=(None, None),
    reload_failures=1,
    operations=(
        Operation(id="a1", verb="upgrade", origin="SIGUSR2", state="running", started_at=1_700_000_000.5),
        Operation(
            id="b2", verb="scale", argument=9, origin="control", state="failed", started_at=1.0, reason="no"
        ),
    ),
    stand_in_notice="4901",
)
BARE = msgspec.structs.replace(
    FULL,
    admin_listener=None,
    pidfile=None,
    workers=(),
    admins=(),
    generations=(),
    shards=(),
    configured_workers=2,
    operations=(),
    stand_in_notice="",
)


def read_text(text: bytes) -> Handover:
    fd = os.memfd_create("test")
    try:
        os.write(fd, text)
        return read_handover(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("handover", [FULL, BARE])
def test_what_is_written_is_read(handover: Handover) -> None:
    """Times too, to the last bit: deadlines go on through a hot restart."""
    fd = write_handover(handover)
    assert read_handover(fd) == handover
    os.close(fd)


def test_the_text_can_be_read_again_and_is_not_inherited_by_accident() -> None:
    """A first attempt to take over may fail, and a second one needs the text as much."""
    fd = write_handover(FULL)
    assert not os.get_inheritable(fd)
    assert read_handover(fd) == read_handover(fd) == FULL
    os.close(fd)


def test_every_descriptor_is_named_once() -> None:
    """One that were forgotten here would be closed by execve, and with it a queue or a worker's ear."""
    assert sorted(FULL.descriptors()) == [4, 5, 6, 7, 8, 9, 10, 11, 20, 21, 22, 23]
    assert sorted(BARE.descriptors()) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("version", [0, HANDOVER_VERSION + 1, -1])
def test_another_version_is_refused(version: int) -> None:
    fd = write_handover(msgspec.structs.replace(FULL, version=version))
    with pytest.raises(HandoverError, match=f"hand-over of version {version}, expected {HANDOVER_VERSION}"):
        read_handover(fd)
    os.close(fd)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"version": 1',
        b"\0" * 64,
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'{"x": ' + b"[" * 100_000,
    ],
)
def test_rubbish_is_refused(text: bytes) -> None:
    with pytest.raises(HandoverError, match="unreadable hand-over"):
        read_text(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("segment_fd", "4"),
        ("lifeline_fds", [5]),
        ("workers", [{"pid": 1}]),
        ("configured_workers", "many"),
        ("control", None),
        ("pidfile", ["/run/x.pid"]),
    ],
)
def test_a_value_of_another_shape_is_refused_and_named(key: str, value: object) -> None:
    fields: dict[str, Any] = msgspec.to_builtins(FULL)
    with pytest.raises(HandoverError, match=key):
        read_text(msgspec.json.encode(fields | {key: value}))


def test_a_key_that_a_later_version_added_is_no_obstacle() -> None:
    """Going back to the release before is a hot restart too."""
    fields: dict[str, Any] = msgspec.to_builtins(FULL)
    assert read_text(msgspec.json.encode(fields | {"mood": "good"})) == FULL


def test_a_text_from_before_there_were_operations_is_read() -> None:
    """The release before knew no orders, and could be restarted as hot."""
    fields: dict[str, Any] = msgspec.to_builtins(BARE)
    del fields["operations"], fields["stand_in_notice"]
    assert read_text(msgspec.json.encode(fields)) == BARE


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    with pytest.raises(HandoverError, match="Bad file descriptor"):
        read_handover(1_000_000)


def test_a_descriptor_that_holds_no_file_is_refused() -> None:
    """The variable that names it was left over in somebody's environment."""
    read_fd, write_fd = os.pipe()
    os.close(write_fd)
    with pytest.raises(HandoverError, match="unreadable hand-over"):
        read_handover(read_fd)
    os.close(read_fd)


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_text_is_read_or_refused_and_nothing_else(at: int, byte: int) -> None:
    text = bytearray(msgspec.json.encode(FULL))
    text[at % len(text)] = byte
    try:
        read_text(bytes(text))
    except HandoverError:
        pass
