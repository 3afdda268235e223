"""Which servers an upstream has, given what names stand for."""

from collections.abc import Iterator

import pytest

from penstock.master.members import FOUND_SERIES_MAX, Members, check_cells, server_cells, verdict_cell
from penstock.master.watched import WatchedUpstream
from penstock.shm import names
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.worker.gateway.spec import HealthCells, ServerSpec, UpstreamSpec
from penstock.worker.messages import Found, Resolved

NAME = "shop.test:80"


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Geometry(row_count=2, cell_count=64 * 1024))
    yield made
    made.close()


def upstream(segment: Segment, *addresses: str) -> UpstreamSpec:
    series = segment.series
    return UpstreamSpec(
        name="u",
        servers=tuple(
            ServerSpec(
                address=address,
                weight=7,
                cells=server_cells("u", address, series, is_shared=False),
                health=HealthCells(
                    verdict=verdict_cell("u", index, series), checks=check_cells("u", address, series)
                ),
            )
            for index, address in enumerate(addresses)
        ),
    )


def learn(members: Members, *found: Found, server: str = NAME) -> bool:
    return members.learn(Resolved("u", server, found))


def test_a_name_gives_way_to_what_it_stands_for(segment: Segment) -> None:
    """
    In its place, with its weight, and counted by themselves.
    """
    spec = upstream(segment, "10.0.0.9:80", NAME)
    members = Members(segment.series)
    assert members.servers(spec) == spec.servers

    assert learn(members, Found("10.0.0.1:80"), Found("10.0.0.2:80", weight=3, priority=5))
    servers = members.servers(spec)
    assert [each.address for each in servers] == ["10.0.0.9:80", "10.0.0.1:80", "10.0.0.2:80"]
    assert [(each.weight, each.priority, each.name) for each in servers] == [
        (7, 0, ""), (7, 0, NAME), (3, 5, NAME)
    ]  # fmt: skip
    assert len({each.cells for each in servers}) == 3
    assert len({each.health.verdict for each in servers if each.health}) == 3
    assert members.servers(spec) == servers


def test_only_news_is_news(segment: Segment) -> None:
    """
    Workers are told when something has changed, and never of nothing or of nonsense.
    """
    members = Members(segment.series)
    assert not learn(members)
    assert not learn(members, Found(NAME))
    assert not learn(members, Found("nonsense"), Found("10.0.0.1:99999"), Found("x:80"))
    assert learn(members, Found("10.0.0.1:80"), Found("nonsense"))
    assert not learn(members, Found("10.0.0.1:80"))
    assert learn(members, Found(NAME))


def test_a_server_is_there_once(segment: Segment) -> None:
    """
    However many names it has, and if it is configured by its address as well.
    """
    spec = upstream(segment, NAME, "10.0.0.1:80", "other.test:80")
    members = Members(segment.series)
    learn(members, Found("10.0.0.1:80"), Found("10.0.0.2:80"))
    learn(members, Found("10.0.0.2:80"), server="other.test:80")
    assert [each.address for each in members.servers(spec)] == ["10.0.0.1:80", "10.0.0.2:80"]


def test_servers_beyond_a_number_are_counted_together(segment: Segment) -> None:
    """
    Addresses come and go for years; the segment's words do not grow back.
    """
    spec = upstream(segment, NAME)
    members = Members(segment.series)
    for each in range(FOUND_SERIES_MAX + 40):
        learn(members, Found(f"10.0.0.{each}:80"), Found(f"10.0.1.{each}:80"))
        servers = members.servers(spec)
        assert len({server.health.verdict for server in servers if server.health}) == 2
    assert {each.cells for each in servers} == {spec.servers[0].cells}
    labels = {
        dict(each.labels)["server"] for each in segment.series.entries() if each.name == names.UPSTREAM_QUEUED
    }
    assert len(labels) == FOUND_SERIES_MAX + 1


def test_a_full_segment_is_no_reason_to_do_without_a_server() -> None:
    """
    It is counted under its name, and not checked.
    """
    segment = Segment.create(Geometry(row_count=2, cell_count=1500))
    spec = upstream(segment, NAME)
    members = Members(segment.series)
    for last in range(200):
        learn(members, Found(f"10.0.0.{last}:80"))
        (server,) = members.servers(spec)
        assert server.cells == spec.servers[0].cells
    segment.close()


def test_names_that_nobody_uses_are_forgotten(segment: Segment) -> None:
    """
    Else each reload would leave some behind.
    """
    members = Members(segment.series)
    learn(members, Found("10.0.0.1:80"))
    members.keep([WatchedUpstream(name="u", names=(NAME,))])
    assert members.found
    members.keep([WatchedUpstream(name="u")])
    assert not members.found
