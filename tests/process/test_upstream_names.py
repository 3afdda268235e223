"""Upstream servers that are found by a name, which stands for others now and then."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.backends import Backend
from tests.process.harness import Server, get, wait_for
from tests.process.name_server import NameServer

Start = Callable[..., Server]

NAME = "backend.shop.test"
SERVICE = "_http._tcp.shop.test"


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    """Four servers on one port, since an A record has none."""
    first = Backend("2", "127.0.0.2")
    made = [first, *(Backend(str(last), f"127.0.0.{last}", first.port) for last in (3, 4, 5))]
    yield made
    for each in made:
        each.close()


def write_config(path: Path, names: NameServer, server: str, more: str = "") -> None:
    path.write_text(
        "workers: 2\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{proxy: behind}]}]\n"
        "upstreams:\n"
        "  behind:\n"
        f"    servers: ['{server}']\n"
        "    balance: round_robin\n"
        f"    resolve: {{nameservers: ['{names.address}'], min_ttl: 200ms, timeout: 1s}}\n" + more
    )


def wait_servers(gateway: Server, *addresses: str) -> dict[str, Any]:
    status = gateway.wait_status(
        lambda status: (
            status["upstreams"]
            and [each["address"] for each in status["upstreams"][0]["servers"]] == list(addresses)
        ),
        f"servers {addresses}",
    )
    return status["upstreams"][0]  # type: ignore[no-any-return]


def answers(gateway: Server, count: int = 12) -> set[bytes]:
    found = [gateway.get() for _ in range(count)]
    assert {status for status, _ in found} == {200}, found
    return {body for _, body in found}


def wait_answers(gateway: Server, *expected: bytes) -> None:
    wait_for(lambda: answers(gateway) == set(expected), f"answers from {expected} alone")


def test_a_name_is_looked_up_again(
    start: Start, tmp_path: Path, names: NameServer, backends: list[Backend]
) -> None:
    """
    Requests follow it, and those in flight end where they are; nothing is lost by a name server that fails.
    """
    port = backends[0].port
    names.say(NAME, "A", "127.0.0.2", "127.0.0.3")
    write_config(tmp_path / "gateway.yaml", names, f"{NAME}:{port}")
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    wait_servers(gateway, f"127.0.0.2:{port}", f"127.0.0.3:{port}")
    wait_answers(gateway, b"2", b"3")

    # One of two is asked twice in a row at the most, so a few requests are enough for one to be held by 2.
    held: list[tuple[int, bytes]] = []
    threads = [
        threading.Thread(target=lambda: held.append(get(gateway.port, "/held")), daemon=True)
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    wait_for(backends[0].is_holding.is_set, "a request that is held")
    names.say(NAME, "A", "127.0.0.3", "127.0.0.4")
    wait_servers(gateway, f"127.0.0.3:{port}", f"127.0.0.4:{port}")
    backends[1].let_go()
    wait_answers(gateway, b"3", b"4")
    for each in backends:
        each.let_go()
    for thread in threads:
        thread.join(60)
    assert len(held) == 6
    assert {status for status, _ in held} == {200}
    assert b"2" in {body for _, body in held}
    assert gateway.metric("penstock_upstream_resolved_servers", server=f"{NAME}:{port}") == 2

    names.is_silent = True
    told = gateway.wait_status(
        lambda status: status["upstreams"][0]["names"][0]["failure"], "a look-up that failed"
    )["upstreams"][0]["names"][0]
    assert told["failure"] == "no name server answered within 1 s"
    assert answers(gateway) == {b"3", b"4"}

    # New workers and a new master know what was known before, though nobody can be asked.
    for generation, order in enumerate((signal.SIGHUP, signal.SIGUSR2), 2):
        gateway.signal(order)
        gateway.wait_generation(generation, 2)
        assert answers(gateway) == {b"3", b"4"}

    names.is_silent = False
    names.say(NAME, "A", "127.0.0.5")
    wait_servers(gateway, f"127.0.0.5:{port}")
    wait_answers(gateway, b"5")
    assert gateway.stop() == 0


def test_services_have_weights_and_priorities(
    start: Start, tmp_path: Path, names: NameServer, backends: list[Backend]
) -> None:
    """
    Those of the next priority serve when none of the first is well; before the first answer nobody does.
    """
    write_config(
        tmp_path / "gateway.yaml",
        names,
        f"srv:{SERVICE}",
        "    health_check: {path: /healthz, every: 200ms, timeout: 500ms, unhealthy_after: 2}\n",
    )
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    status, _ = gateway.get()
    assert status == 502
    refused = f"upstream behind, srv:{SERVICE}: not resolved: there is no such name"
    wait_for(lambda: refused in gateway.output(), "a word on it")

    port = backends[0].port
    names.say("one.shop.test", "A", "127.0.0.2")
    names.say("two.shop.test", "A", "127.0.0.3")
    names.say("three.shop.test", "A", "127.0.0.4")
    names.say(
        SERVICE,
        "SRV",
        f"10 30 {port} one.shop.test.",
        f"10 10 {port} two.shop.test.",
        f"20 0 {port} three.shop.test.",
    )
    upstream = wait_servers(gateway, f"127.0.0.2:{port}", f"127.0.0.3:{port}", f"127.0.0.4:{port}")
    assert [(each["weight"], each["priority"]) for each in upstream["servers"]] == [
        (30, 10),
        (10, 10),
        (1, 20),
    ]
    wait_answers(gateway, b"2", b"3")
    backends[0].health = backends[1].health = 500
    wait_answers(gateway, b"4")
    backends[1].health = 200
    wait_answers(gateway, b"3")
    assert gateway.stop() == 0


def test_a_name_of_the_hosts_file_stays_as_it_is(
    start: Start, tmp_path: Path, names: NameServer, backends: list[Backend]
) -> None:
    """
    No name server is asked, and whoever connects tries all its addresses.
    """
    server = Backend("local")
    write_config(tmp_path / "gateway.yaml", names, f"localhost:{server.port}")
    gateway = start("-c", str(tmp_path / "gateway.yaml")).wait_serving()
    assert answers(gateway) == {b"local"}
    gateway.wait_status(lambda status: status["upstreams"][0]["names"][0]["resolved_at"], "a look-up")
    assert answers(gateway) == {b"local"}
    assert names.questions == []
    server.close()
