"""Health checks in real processes: once for the machine, and whatever happens to it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.backends import Backend
from tests.process.harness import Server, wait_for

Start = Callable[..., Server]

CHECK = "{path: /healthz, every: 200ms, timeout: 500ms, unhealthy_after: 2, healthy_after: 2}"


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    made = [Backend(name) for name in "abc"]
    yield made
    for each in made:
        each.close()


def write_config(path: Path, *addresses: str, check: str = CHECK, workers: int = 2) -> None:
    servers = ", ".join(f"'{each}'" for each in addresses)
    path.write_text(
        f"workers: {workers}\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{proxy: behind}]}]\n"
        f"upstreams: {{behind: {{servers: [{servers}], balance: round_robin, "
        f"timeouts: {{first_byte: 2s}}, health_check: {check}}}}}\n"
    )


def servers(status: dict[str, Any]) -> dict[str, Any]:
    return {each["address"]: each for upstream in status["upstreams"] for each in upstream["servers"]}


def wait_state(gateway: Server, address: str, state: str) -> dict[str, Any]:
    status = gateway.wait_status(
        lambda status: servers(status).get(address, {}).get("health") == state, f"{address} {state}"
    )
    return servers(status)[address]  # type: ignore[no-any-return]


def answers(gateway: Server, count: int = 12) -> set[bytes]:
    """Ask often enough for each worker to go round; none of the requests may fail."""
    found = [gateway.get() for _ in range(count)]
    assert {status for status, _ in found} == {200}
    return {body for _, body in found}


def wait_answers(gateway: Server, *expected: bytes) -> None:
    """Wait until all workers have read what is thought of the servers."""
    wait_for(lambda: answers(gateway) == set(expected), f"answers from {expected} alone")


def test_a_server_that_is_not_well_gets_no_requests(
    start: Start, tmp_path: Path, backends: list[Backend]
) -> None:
    """
    And gets them again when it is; asked by one process, however many workers there are.
    """
    a, b, c = backends
    write_config(tmp_path / "gateway.yaml", a.address, b.address, c.address)
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    for each in backends:
        wait_state(gateway, each.address, "healthy")
    wait_answers(gateway, b"a", b"b", b"c")

    b.health = 503
    check = wait_state(gateway, b.address, "unhealthy")["last_check"]
    assert (check["result"], check["reason"]) == ("status", "it answered with 503")
    wait_answers(gateway, b"a", b"c")
    assert gateway.metric("penstock_upstream_healthy", server=b.address) == 0
    assert gateway.metric("penstock_upstream_checks_total", server=b.address, result="status") >= 2
    assert gateway.output().count(f"{b.address}: unhealthy: it answered with 503") == 1

    b.health = 200
    wait_state(gateway, b.address, "healthy")
    wait_answers(gateway, b"a", b"b", b"c")
    assert f"{b.address}: healthy again" in gateway.output()
    assert gateway.metric("penstock_upstream_healthy", server=b.address) == 1
    assert gateway.metric("penstock_upstream_last_check_timestamp_seconds", server=b.address) > 1e9
    assert {check["host"] for check in b.checks} == {b.address}
    assert "penstock_upstream_verdict" not in gateway.admin("/metrics")[1].decode()


def test_when_nobody_is_well_all_are_asked(start: Start, tmp_path: Path, backends: list[Backend]) -> None:
    """
    A check that is wrong must not turn every request away.
    """
    a, b, _ = backends
    write_config(tmp_path / "gateway.yaml", a.address, b.address)
    a.health = b.health = 500
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    for each in (a, b):
        wait_state(gateway, each.address, "unhealthy")
    wait_answers(gateway, b"a", b"b")


def test_servers_that_hang_or_die_are_found_out(
    start: Start, tmp_path: Path, backends: list[Backend]
) -> None:
    """
    A stopped process still accepts connections: only an answer says that somebody is there.
    """
    folder = tmp_path / "behind"
    folder.mkdir()
    (folder / "behind.yaml").write_text(
        "workers: 1\nlisteners: [{bind: '127.0.0.1:0', routes: [{respond: {body: d}}]}]\n"
    )
    behind = start(
        "-c", str(folder / "behind.yaml"), "--control", str(folder / "c.sock"), admin=False
    ).wait_serving()
    address = f"127.0.0.1:{behind.port}"
    write_config(tmp_path / "gateway.yaml", backends[0].address, address)
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    wait_state(gateway, address, "healthy")

    stopped = [psutil.Process(behind.pid), *behind.children()]
    for each in stopped:
        each.suspend()
    assert wait_state(gateway, address, "unhealthy")["last_check"]["result"] == "timeout"
    wait_answers(gateway, b"a")
    for each in stopped:
        each.resume()
    wait_state(gateway, address, "healthy")
    wait_answers(gateway, b"a", b"d")
    behind.clean_up()
    assert wait_state(gateway, address, "unhealthy")["last_check"]["result"] in ("connect", "protocol")
    wait_answers(gateway, b"a")


def test_checks_go_on_whoever_dies_and_whatever_is_ordered(
    start: Start, tmp_path: Path, backends: list[Backend]
) -> None:
    """
    What was found holds while the admin process is replaced; without its TCP side as well.
    """
    a, b, c = backends
    path = tmp_path / "gateway.yaml"
    write_config(path, a.address, b.address)
    b.health = 500
    gateway = start("-c", str(path), admin=False).wait_serving()
    wait_state(gateway, b.address, "unhealthy")
    wait_answers(gateway, b"a")

    admin_pid = gateway.status()["admin"]["pid"]
    os.kill(admin_pid, signal.SIGKILL)
    assert answers(gateway) == {b"a"}
    wait_for(
        lambda: admin_pid not in {each.pid for each in gateway.children()} and _answers(gateway),
        "another admin process",
    )
    wait_state(gateway, b.address, "unhealthy")
    assert answers(gateway) == {b"a"}

    # Other servers, in another order.
    write_config(path, c.address, b.address, a.address)
    gateway.signal(signal.SIGHUP)
    gateway.wait_generation(2, 2)
    wait_state(gateway, c.address, "healthy")
    wait_answers(gateway, b"a", b"c")
    seen = len(a.checks)
    write_config(path, c.address, b.address)
    gateway.signal(signal.SIGHUP)
    gateway.wait_generation(3, 2)
    assert servers(gateway.status()).keys() == {c.address, b.address}
    wait_answers(gateway, b"c")
    assert len(a.checks) >= seen

    gateway.signal(signal.SIGUSR2)
    gateway.wait_generation(4, 2)
    assert wait_state(gateway, b.address, "unhealthy")
    wait_answers(gateway, b"c")
    b.health = 200
    wait_state(gateway, b.address, "healthy")
    wait_answers(gateway, b"b", b"c")
    c.health = 500
    wait_state(gateway, c.address, "unhealthy")
    wait_answers(gateway, b"b")
    assert gateway.stop() == 0


def _answers(gateway: Server) -> bool:
    try:
        return bool(gateway.status()["upstreams"])
    except OSError:
        return False
