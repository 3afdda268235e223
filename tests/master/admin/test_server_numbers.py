"""The upstreams of `/status`: what is configured, with what all workers count."""

from typing import TYPE_CHECKING, Any

import msgspec

from penstock.master.admin.app import AdminApp
from penstock.master.admin.server_numbers import read_upstreams, with_numbers
from penstock.master.members import server_cells
from penstock.master.watched import WatchedServer, WatchedUpstream
from penstock.shm.row import State
from penstock.worker.gateway.spec import ServerCells, ServerSpec, UpstreamSpec

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

SPEC = UpstreamSpec(
    name="backend",
    balance="random",
    servers=(ServerSpec(address="10.0.0.1:9000", weight=2), ServerSpec(address="unix:/run/x")),
)
STATUS = (
    WatchedUpstream(name=SPEC.name, balance=SPEC.balance, servers=tuple(map(WatchedServer.of, SPEC.servers))),
)


def define(site: "Site", server: int = 0) -> ServerCells:
    return server_cells("backend", SPEC.servers[server].address, site.segment.series, is_shared=False)


def servers(site: "Site") -> list[dict[str, Any]]:
    [upstream] = with_numbers(map(msgspec.to_builtins, STATUS), read_upstreams(site.segment))
    return upstream["servers"]  # type: ignore[no-any-return]


def test_a_server_is_told_with_what_all_workers_count(site: "Site") -> None:
    """Also those that are gone; their gauges went with them."""
    cells = define(site)
    for slot in (0, 1):
        row = site.rows[slot].cells
        row[cells.requests], row[cells.requests + 3] = 5, 1
        row[cells.connections], row[cells.connections + 1], row[cells.queued] = 3, 2, 1
        row[cells.failures + 3] = 4
        row[cells.retries], row[cells.ejections] = 6, 7
    site.segment.retire(site.rows[1].index)
    first, second = servers(site)
    assert first == {
        "address": "10.0.0.1:9000",
        "name": "",
        "weight": 2,
        "priority": 0,
        "health": None,
        "state": "up",
        "up": True,
        "left_out": 0,
        "connections_active": 3,
        "connections_idle": 2,
        "queued": 1,
        "requests": 12,
        "answers": {"2xx": 10, "3xx": 0, "4xx": 0, "5xx": 2},
        "failures": 8,
        "failed": {
            "connect": 0, "connect_timeout": 0, "closed": 0, "timeout": 8, "protocol": 0, "overload": 0,
        },
        "retries": 12,
        "ejections": 14,
    }  # fmt: skip
    assert (second["address"], second["requests"], second["up"]) == ("unix:/run/x", 0, True)


def test_a_server_is_down_when_every_worker_leaves_it_out(site: "Site") -> None:
    """Each judges by the answers that it gets, and they need not agree."""
    cells = define(site)
    site.rows[0].cells[cells.left_out] = 1
    first = servers(site)[0]
    assert (first["state"], first["up"], first["left_out"]) == ("partly up", True, 1)
    site.rows[1].cells[cells.left_out] = 1
    assert [(each["state"], each["up"]) for each in servers(site)] == [("down", False), ("up", True)]
    site.rows[1].set_state(State.DRAINING)
    site.rows[1].cells[cells.left_out] = 0
    assert servers(site)[0]["up"] is False


def test_status_has_the_upstreams_that_are_configured(site: "Site") -> None:
    """Those that a reload took away are in no status, though their series stay."""
    define(site)
    site.change(upstreams=STATUS)
    told = msgspec.json.decode(msgspec.json.encode(site.status), type=type(site.status))
    assert told == site.status

    app = AdminApp(site)

    def upstreams() -> Any:
        told = app._upstreams(site.status)
        return [(each["name"], each["balance"], len(each["servers"])) for each in told]

    assert upstreams() == [("backend", "random", 2)]
    site.change(upstreams=())
    assert upstreams() == []
