"""What is told of upstreams beside the workers' numbers."""

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from penstock.master.admin.status import FleetStatus
from penstock.master.admin.upstreams import UpstreamCare
from penstock.master.cli.report import Status, status_tables
from penstock.master.watched import HealthSettings, WatchedServer, WatchedUpstream
from penstock.worker.gateway.spec import HealthCells

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

ADDRESS = "127.0.0.1:1"  # where nobody listens
UPSTREAM = WatchedUpstream(
    name="backend",
    servers=(
        WatchedServer(address=ADDRESS, name="shop.test:1", weight=2, health=HealthCells(verdict=0, checks=8)),
        WatchedServer(address="127.0.0.1:2"),
    ),
    health=HealthSettings(every_s=0.01, unhealthy_after=2),
)


def cared_for(status: FleetStatus, site: "Site") -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Let a server be found unhealthy; return what `/status` and `/metrics` have of that."""

    async def main() -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
        cells = memoryview(bytearray(8 * 32)).cast("Q")
        care = UpstreamCare(site.segment, cells, lambda _: None)
        assert list(care.families(status)) == []
        care.follow(status)
        async with asyncio.timeout(20):
            while care.render(status)[0]["servers"][0]["health"] == "unknown":
                await asyncio.sleep(0.005)
        told = care.render(status), {each.name: each.samples for each in care.families(status)}
        care.close()
        return told

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_health_is_told_to_people_and_machines(site: "Site") -> None:
    """
    With the reason; and nothing is said of a server that nobody checks.
    """
    site.change(upstreams=(UPSTREAM,))
    rendered, families = cared_for(site.status, site)
    checked, unchecked = rendered[0]["servers"]
    assert rendered[0]["name"] == "backend"
    assert (checked["health"], checked["healthy"], checked["weight"]) == ("unhealthy", False, 2)
    assert checked["last_check"]["reason"] == "cannot connect: Connection refused"
    assert (unchecked["health"], unchecked["healthy"], unchecked["last_check"]) == ("", None, None)
    labels = {"upstream": "backend", "server": ADDRESS}
    assert [(each.labels, each.value) for each in families["penstock_upstream_healthy"]] == [(labels, 0)]
    assert families["penstock_upstream_last_check_timestamp_seconds"][0].value > 1e9

    told = {"master": {"pid": 1, "state": "running", "generation": 1}, "upstreams": rendered}
    status = msgspec.json.decode(msgspec.json.encode(told), type=Status)
    lines = status_tables(status, checked["last_check"]["at"] + 3).splitlines()
    assert lines[-4].split()[-1] == "HEALTH"
    assert lines[-3].endswith("unhealthy 3s ago")
    assert lines[-1] == f"  {ADDRESS} (shop.test:1): cannot connect: Connection refused"


def test_words_of_another_segment_are_left_alone(site: "Site") -> None:
    """
    The admin process of before a hot restart would write where something else is counted.
    """
    site.change(upstreams=(UPSTREAM,), segment=site.segment.serial + 1)

    async def main() -> None:
        cells = memoryview(bytearray(8 * 32)).cast("Q")
        care = UpstreamCare(site.segment, cells, lambda _: None)
        care.follow(site.status)
        assert care.render(site.status)[0]["servers"][0]["health"] == ""
        care.close()

    asyncio.run(main())
