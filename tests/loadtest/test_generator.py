"""
The open loop keeps its schedule whatever the server does, and leaves no request out.

Every test counts: requests, latencies above a bound that the server itself set.
None depends on how fast the machine is.
"""

import dataclasses
from pathlib import Path

import pytest
from bench import load, wrk
from bench.failure import LoadFailed
from bench.generator import Generator, Plan
from bench.histogram import Histogram, highest_in
from bench.lua import Script

from tests.loadtest.scripted_server import OK, Behaviour, ScriptedServer

# One at a time: each loads a server, and looks at what it counts.
pytestmark = pytest.mark.xdist_group("load")

# The server is a thread of this process here, and a spinning client would only take the lock from it.
PLAN = Plan(connections=10, duration_s=0.2, rate=1000, spins=False)


def generate(url: str, plan: Plan = PLAN, script: Path | None = None) -> Generator:
    made = Generator(Script(script or load.script_named("get"), url), url, plan)
    made.run()
    return made


def count_above(latency: Histogram, value_us: int) -> int:
    return sum(count for bucket, count in latency.counts.items() if highest_in(bucket) > value_us)


def lost_count(made: Generator) -> int:
    return sum(made.errors[kind] for kind in ("read", "write", "timeout"))


def test_a_stall_is_reported_in_full() -> None:
    """
    A closed loop would send ten slow requests, one on each connection, and call the rest fast.
    """
    behaviour = Behaviour(stall_at=200, stall_s=1.0)
    with ScriptedServer(behaviour) as server:
        made = generate(server.url, dataclasses.replace(PLAN, rate=500, duration_s=2.0))

    assert made.latency.max_us >= 1_000_000
    # Of those due in the first half of the stall each waited at least half of it; one on each
    # connection may have been due before.
    assert count_above(made.latency, 500_000) >= 500 * 0.5 - 10
    assert count_above(made.latency, 100_000) >= 500 * 0.9 - 10
    assert made.latency.percentiles_us([99.0])[0] >= 900_000
    assert made.requests == made.latency.count == server.request_count == 1000
    assert not any(made.errors.values())


def test_a_run_asks_exactly_what_is_due() -> None:
    with ScriptedServer() as server:
        made = generate(server.url)

    assert made.requests == server.request_count == 200
    assert server.connection_count == 11  # And one to see whether anybody is there.
    assert made.outcome()["duration_s"] > 0.199
    assert 0 < made.outcome()["busy"] < 1


def test_throughput_agrees_with_wrk_below_saturation(tmp_path: Path) -> None:
    """
    Within 5 %, as the server counted both.

    wrk keeps no rate of its own. It is given one that the server does not limit: 16 clients who think
    for 20 ms make some 750 requests/s, whatever the machine. What wrk found is then asked of our
    generator. Comparing the two at full speed would compare two clients' costs, not their counting.
    """
    script = tmp_path / "think.lua"
    script.write_text("function delay() return 20 end")
    program = wrk.find_wrk()
    assert program is not None

    # One server each: what wrk leaves unanswered at its end, a server may count later.
    with ScriptedServer() as server:
        theirs = wrk.load(program, server.url, script, rate=None, connections=16, duration_s=1, core=None)
    with ScriptedServer() as other:
        # In a process of its own, as `loadtest/run` has it.
        ours = load.own(other.url, script, rate=theirs.rate, connections=16, duration_s=1, core=None)

    assert not theirs.error_count
    assert not ours.error_count
    assert ours.requests == other.request_count
    # Of one second; its last answers may take longer.
    assert ours.requests == pytest.approx(server.request_count / theirs.duration_s, rel=0.05)
    assert ours.requests == pytest.approx(theirs.rate, rel=0.05)


def test_a_connection_that_is_closed_after_each_answer_is_no_error() -> None:
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    with ScriptedServer(Behaviour(answer=answer, closes=True)) as server:
        made = generate(server.url)

    assert made.requests == server.request_count == 200
    assert not any(made.errors.values())
    assert server.connection_count > 200


def test_a_server_that_closes_without_saying_so_is_asked_again_on_a_new_connection() -> None:
    with ScriptedServer(Behaviour(closes=True)) as server:
        made = generate(server.url)

    # A request that crossed the close on its way is lost, and counted as that: no two in a row.
    assert made.requests + lost_count(made) == made.latency.count == 200
    assert made.requests >= 100


def test_an_answer_may_end_with_its_connection() -> None:
    with ScriptedServer(Behaviour(answer=b"HTTP/1.1 200 OK\r\n\r\nuntil the end", closes=True)) as server:
        made = generate(server.url)

    assert made.requests == 200
    assert not any(made.errors.values())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_breaks_off_is_a_read_error(answer: bytes) -> None:
    with ScriptedServer(Behaviour(answer=answer, closes=True)) as server:
        made = generate(server.url, dataclasses.replace(PLAN, timeout_s=0))

    assert made.requests == 0
    assert made.errors["read"] + made.errors["timeout"] == made.latency.count == 200
    assert made.errors["read"] > 0


def test_an_answer_that_nobody_asked_for_is_an_error() -> None:
    with ScriptedServer(Behaviour(answer=OK + OK)) as server:
        made = generate(server.url)

    assert made.requests == 200
    assert made.errors["read"] > 0


def test_informational_answers_are_not_answers() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK
    with ScriptedServer(Behaviour(answer=answer)) as server:
        made = generate(server.url)

    assert made.requests == 200
    assert not any(made.errors.values())


def test_error_pages_are_counted() -> None:
    with ScriptedServer(Behaviour(answer=b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")) as server:
        made = generate(server.url)

    assert made.requests == made.errors["status"] == 200


def test_pipelined_requests_are_each_answered_and_counted() -> None:
    """
    The rate is that of requests, not of writes.
    """
    with ScriptedServer() as server:
        made = generate(server.url, dataclasses.replace(PLAN, rate=3200), load.script_named("pipeline"))

    assert made.requests == server.request_count == made.latency.count == 640
    assert not any(made.errors.values())


def test_what_is_never_answered_is_recorded_with_the_latency_it_reached() -> None:
    """
    Dropping it would leave the fast answers alone in the percentiles.
    """
    with ScriptedServer(Behaviour(stall_at=101, stall_s=60)) as server:
        made = generate(server.url, dataclasses.replace(PLAN, timeout_s=0.3))

    assert made.requests == 100
    assert made.errors["timeout"] == 100
    assert made.latency.count == 200
    assert made.latency.max_us >= 400_000
    assert count_above(made.latency, 300_000) >= 100
    assert made.outcome()["duration_s"] == pytest.approx(0.2)


def test_a_server_that_dies_ends_no_run_early_and_costs_few_connects() -> None:
    with ScriptedServer(Behaviour(dies_at=50)) as server:
        made = generate(server.url, dataclasses.replace(PLAN, timeout_s=0.2))

    assert made.requests < 50
    assert made.requests + lost_count(made) == made.latency.count == 200
    assert made.errors["read"] > 0
    # Ten connections, tried again after 10, 10, 20, 40... ms within 0.4 s.
    assert 10 <= made.errors["connect"] <= 100


def test_a_backlog_beyond_counting_is_still_counted() -> None:
    with ScriptedServer(Behaviour(stall_at=1, stall_s=60)) as server:
        plan = dataclasses.replace(PLAN, rate=10_000_000, timeout_s=0.1)
        made = generate(server.url, plan)

    assert made.requests == 0
    assert made.errors["timeout"] == made.latency.count == 2_000_000
    assert len(made.latency.counts) < 10_000


def test_without_a_rate_the_loop_is_closed() -> None:
    with ScriptedServer() as server:
        made = generate(server.url, dataclasses.replace(PLAN, rate=None))

    assert made.requests == server.request_count > 20
    assert not any(made.errors.values())


def test_a_closed_loop_thinks_as_the_script_says(tmp_path: Path) -> None:
    script = tmp_path / "think.lua"
    script.write_text("function delay() return 50 end")
    with ScriptedServer() as server:
        made = generate(server.url, dataclasses.replace(PLAN, rate=None), script)

    assert 10 <= made.requests == server.request_count <= 40


def test_a_script_that_looks_at_answers_gets_them(tmp_path: Path) -> None:
    script = tmp_path / "look.lua"
    script.write_text(
        "function response(status, headers, body) seen = status .. headers['content-length'] .. body end\n"
        "function request() return wrk.format(nil, '/' .. (seen or '')) end"
    )
    with ScriptedServer() as server:
        generate(server.url, dataclasses.replace(PLAN, connections=1), script)

    assert server.targets[0] == b"/"
    assert server.targets[-1] == b"/2002ok"


def test_a_script_that_fails_mid_run_ends_it(tmp_path: Path) -> None:
    script = tmp_path / "fails.lua"
    script.write_text(
        "left = 20\nfunction request() left = left - 1; assert(left > 0, 'none left') return wrk.format() end"
    )
    with ScriptedServer() as server, pytest.raises(LoadFailed, match=r"fails\.lua.*none left"):
        generate(server.url, script=script)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/", "cannot connect to 127.0.0.1:1"),
        ("https://127.0.0.1/", "plain HTTP only"),
        ("http://127.0.0.1:99999/", "[Pp]ort"),
        ("127.0.0.1:80", "no URL"),
        ("http://nobody.invalid/", "nobody.invalid"),
    ],
)
def test_an_address_without_a_server_is_said(url: str, told: str) -> None:
    with pytest.raises(LoadFailed, match=told):
        generate(url)
