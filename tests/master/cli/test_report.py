"""The tables of `penstock status`."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.report import (
    Admin,
    CrashLoop,
    Failure,
    Listener,
    Master,
    Operation,
    Shard,
    Status,
    Worker,
    by_slot,
    status_tables,
)
from penstock.master.cli.tables import COLUMNS_MAX, count, duration, lag, size
from penstock.master.cli.upstreams import Check, Server, Upstream

STATUS = Status(
    name="shop",
    version="0.1.0",
    master=Master(pid=3999, state="rolling", generation=3, started_at=1000.0, rss_bytes=38 * 2**20),
    admin=Admin(pid=4002, address="127.0.0.1:9180", rss_bytes=32 * 2**20),
    workers=(
        Worker(
            slot=0,
            core=0,
            pid=4000,
            state="ready",
            generation=3,
            age_s=75.2,
            rss_bytes=36 * 2**20,
            connections=12,
            requests=1234567,
            loop_lag_s=0.0004,
        ),
        Worker(slot=1, pid=3002, state="draining", generation=2, loop_lag_s=1.25),
        Worker(slot=1, core=1, state="starting", generation=3),
    ),
    listeners=(
        Listener(
            name="web",
            address="0.0.0.0:8080",
            shards=(Shard(index=0, slot=0, queued=0), Shard(index=1, slot=1, queued=3), Shard(index=2)),
        ),
    ),
)


def test_a_person_sees_who_runs_and_who_listens() -> None:
    """
    The process tree with slots and generations, then the listeners.
    """
    assert status_tables(STATUS, now_s=1000.0 + 7384) == (
        "penstock shop (0.1.0): rolling, generation 3\n"
        "admin: http://127.0.0.1:9180\n"
        "\n"
        "PROCESS  SLOT CORE  PID STATE    GEN   AGE     RSS CONNS REQUESTS    LAG\n"
        "master             3999               2h3m 38.0MiB\n"
        "├ worker    0    0 4000 ready      3 1m15s 36.0MiB    12  1234567  0.4ms\n"
        "├ worker    1    - 3002 draining   2     -       -     -        - 1250ms\n"
        "├ worker    1    1    - starting   3     -       -     -        -      -\n"
        "└ admin            4002                    32.0MiB\n"
        "\n"
        "LISTENER  ADDRESS       SHARDS  QUEUED  SHARDS BY SLOT\n"
        "web       0.0.0.0:8080       3       3  1 each, 1 held by the master\n"
    )


def test_a_server_that_says_little_is_shown_all_the_same() -> None:
    """
    A hot restart may leave an older admin process running for a moment.
    """
    status = msgspec.json.decode(
        b'{"master": {"pid": 1, "state": "x", "generation": 0, "new": 1}}', type=Status
    )

    assert status_tables(status, now_s=0.0) == (
        "penstock: x, generation 0\n"
        "\n"
        "PROCESS  SLOT  CORE  PID  STATE  GEN  AGE  RSS  CONNS  REQUESTS  LAG\n"
        "master                 1                -    -\n"
    )


def test_what_is_under_way_is_told_once() -> None:
    """
    A signal and a command that want the same are one line.
    """
    operations = (
        Operation(verb="reload", state="done"),
        Operation(verb="upgrade", state="running"),
        Operation(verb="scale", state="running", argument=3),
        Operation(verb="upgrade", state="running"),
    )

    lines = status_tables(msgspec.structs.replace(STATUS, operations=operations), now_s=0.0).splitlines()
    assert "under way: upgrade, scale 3" in lines


def test_crash_loops_stand_above_the_tables() -> None:
    """
    Whose workers, how often, why, and when the next one starts.
    """
    loops = (
        CrashLoop(slot=1, failures=5, next_attempt_s=7.3, last_reason="exited with status 1"),
        CrashLoop(slot=3, failures=3),
    )

    lines = status_tables(msgspec.structs.replace(STATUS, crash_loops=loops), now_s=0.0).splitlines()
    assert lines[2:4] == [
        "crash loop: slot 1, 5 failures, tried again in 7s: exited with status 1",
        "crash loop: slot 3, 3 failures, tried again now",
    ]


def test_what_went_wrong_stands_above_the_tables() -> None:
    """
    The old generation serves, so nothing else would tell.
    """
    message = "p.yaml:1:1: wrokers: found\n" + "\n".join(f"line {number}" for number in range(20))
    status = msgspec.structs.replace(
        STATUS,
        master=msgspec.structs.replace(STATUS.master, last_failure=Failure(at=1000.0, message=message)),
        worker_restarts={"crash": 3, "hang": 1, "roll": 0},
        reload_failures=2,
    )

    lines = status_tables(status, now_s=1065.0).splitlines()
    assert lines[2:6] == [
        "worker restarts: 3 crash, 1 hang",
        "failed reloads: 2",
        "last failure 1m5s ago: p.yaml:1:1: wrokers: found",
        "  line 0",
    ]
    assert lines[12:14] == ["  line 7", "  line 8"]
    assert lines[14] == ""


@given(
    st.lists(
        st.builds(
            Worker,
            slot=st.integers(0, 1023),
            core=st.none() | st.integers(0, 1023),
            pid=st.integers(1, 4194304),
            state=st.sampled_from(["starting", "ready", "draining", "suspect"]),
            generation=st.integers(1, 9999),
            age_s=st.floats(0, 10**9),
            rss_bytes=st.integers(0, 2**50),
            connections=st.integers(0, 10**6),
            requests=st.integers(0, 2**64),
            loop_lag_s=st.floats(0, 10**6),
        ),
        max_size=5,
    )
)
def test_no_line_of_the_tree_is_cut_in_a_terminal_of_80_columns(workers: list[Worker]) -> None:
    """
    Whatever the numbers; cut lines are for addresses without an end.
    """
    text = status_tables(msgspec.structs.replace(STATUS, workers=tuple(workers)), now_s=1000.0)

    assert max(map(len, text.splitlines())) <= COLUMNS_MAX
    assert "…" not in text


def test_an_address_without_an_end_is_cut() -> None:
    """
    A table that wraps is no table.
    """
    listener = Listener(name="n" * 100, address="unix:/x")

    text = status_tables(msgspec.structs.replace(STATUS, listeners=(listener,)), now_s=1000.0)
    assert text.splitlines()[-1] == "n" * (COLUMNS_MAX - 1) + "…"


@pytest.mark.parametrize(
    ("slots", "told"),
    [
        ([], "-"),
        ([0, 0, 0], "0:3"),
        ([0, 0, 1], "0:2 1:1"),
        ([0, 1, 0, 1], "2 each"),
        ([None, None], "2 held by the master"),
        ([0, None], "0:1, 1 held by the master"),
        (list(range(64)) * 4, "4 each"),
    ],
)
def test_who_polls_the_shards_is_told_in_a_few_words(slots: list[int | None], told: str) -> None:
    """
    Even spreads are the rule, and 64 slots have one line too.
    """
    assert by_slot([Shard(index=index, slot=slot) for index, slot in enumerate(slots)]) == told


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (duration(None), "-"),
        (duration(-1), "0s"),
        (duration(59.9), "59s"),
        (duration(60), "1m"),
        (duration(86400 * 3 + 3600), "3d1h"),
        (duration(86400 * 300 + 3600), "300d"),
        (size(None), "-"),
        (size(999), "999B"),
        (size(36 * 2**20), "36.0MiB"),
        (size(512 * 2**20), "512MiB"),
        (size(3 * 2**40), "3.0TiB"),
        (lag(None), "-"),
        (lag(0.0004), "0.4ms"),
        (lag(75), "1m15s"),
        (lag(1.25), "1250ms"),
        (count(None), "-"),
        (count(99_999_999), "99999999"),
        (count(123_456_789), "123.5M"),
        (count(2**63), "9223372T"),
    ],
)
def test_numbers_are_short(told: str, expected: str) -> None:
    """
    With the digits that one looks at.
    """
    assert told == expected


@pytest.mark.parametrize("address", ["192.168.100.100:9000", "unix:/run/penstock/backend/app.sock"])
def test_long_addresses_make_room_for_the_last_check(address: str) -> None:
    """
    Which is what one looks for when a server is ill; the end of the address tells which one it is.
    """
    server = Server(
        address=address, state="down", health="unhealthy", last_check=Check(at=1988.0, reason="no answer"),
        connections_active=123, connections_idle=4, queued=0, requests=12345678, failures=123456,
    )  # fmt: skip
    status = msgspec.structs.replace(STATUS, upstreams=(Upstream(name="backend", servers=(server,)),))
    table = status_tables(status, 2000.0).split("\n\n")[-1].splitlines()

    assert table[1].endswith("unhealthy 12s")
    assert address[-10:] in table[1]
    assert table[2] == f"  {address}: no answer"
    assert all(len(line) <= COLUMNS_MAX for line in table)


def test_upstreams_have_a_table_where_there_are_any() -> None:
    """
    A server that an older release tells less of has dashes.
    """
    servers = (
        Server(
            address="10.0.0.1:9000", state="up", connections_active=3, connections_idle=4,
            queued=0, requests=12345, failures=6,
        ),
        Server(address="unix:/run/penstock/backend/app.sock", state="partly up"),
    )  # fmt: skip
    status = msgspec.structs.replace(STATUS, upstreams=(Upstream(name="backend", servers=servers),))
    table = status_tables(status, 2000.0).split("\n\n")[-1].splitlines()

    assert table[0].split() == [
        "UPSTREAM", "SERVER", "STATE", "ACTIVE", "IDLE", "QUEUED", "REQUESTS", "FAILED",
    ]  # fmt: skip
    assert table[1].split() == ["backend", "10.0.0.1:9000", "up", "3", "4", "0", "12345", "6"]
    assert table[2].startswith("         …nstock/backend/app.sock partly up")
    assert all(len(line) <= COLUMNS_MAX for line in table)
    assert "UPSTREAM" not in status_tables(STATUS, 2000.0)
