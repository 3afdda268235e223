"""Look-ups, of a real name server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from penstock.master.resolving.answer import Answer, NotFound
from penstock.master.resolving.hosts import HostsFile
from penstock.master.resolving.lookup import Lookup
from penstock.master.watched import ResolveSettings
from penstock.worker.messages import Found
from tests.process.name_server import NameServer


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


def find(names: NameServer, server: str, **settings: object) -> Answer:
    told = ResolveSettings(nameservers=(names.address,), **{"timeout_s": 1.0, **settings})  # type: ignore[arg-type]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Lookup(told, HostsFile(Path("/dev/null"))).find(server))


def addresses(answer: Answer) -> list[str]:
    return [each.address for each in answer.found]


def test_a_name_stands_for_its_addresses_for_a_while(names: NameServer) -> None:
    """
    As long as the shortest of the names on the way says.
    """
    names.say("shop.test", "A", "10.0.0.2", "10.0.0.1", ttl=30)
    assert find(names, "shop.test:80") == Answer((Found("10.0.0.1:80"), Found("10.0.0.2:80")), 30.0)


def test_families_are_chosen(names: NameServer) -> None:
    """
    A server with two addresses is one server, unless somebody wants it otherwise.
    """
    names.say("shop.test", "A", "10.0.0.1")
    names.say("shop.test", "AAAA", "fd00::1")
    names.say("six.test", "AAAA", "fd00::6")
    assert addresses(find(names, "shop.test:80")) == ["10.0.0.1:80"]
    assert addresses(find(names, "six.test:80")) == ["[fd00::6]:80"]
    assert addresses(find(names, "shop.test:80", family="both")) == ["10.0.0.1:80", "[fd00::1]:80"]
    assert addresses(find(names, "shop.test:80", family="ipv6")) == ["[fd00::1]:80"]
    with pytest.raises(NotFound, match="it has no address"):
        find(names, "six.test:80", family="ipv4")


def test_failures_are_told_in_words(names: NameServer) -> None:
    """
    They stand in the log and in the status.
    """
    with pytest.raises(NotFound, match="there is no such name"):
        find(names, "gone.test:80")
    names.is_silent = True
    with pytest.raises(NotFound, match=r"no name server answered within 0\.2 s"):
        find(names, "gone.test:80", timeout_s=0.2)


def test_a_service_has_the_addresses_of_its_targets(names: NameServer) -> None:
    """
    Of those that can be found; "." says that there is no such service.
    """
    names.say(
        "_http._tcp.shop.test", "SRV", "1 5 8080 a.test.", "1 6 8080 gone.test.", "2 0 80 b.test.", ttl=60
    )
    names.say("a.test", "A", "10.0.0.1", "10.0.0.2", ttl=20)
    names.say("b.test", "A", "10.0.0.3", ttl=50)
    answer = find(names, "srv:_http._tcp.shop.test")
    assert answer.ttl_s == 20.0
    assert answer.found == (
        Found("10.0.0.1:8080", 5, 1),
        Found("10.0.0.2:8080", 5, 1),
        Found("10.0.0.3:80", 1, 2),
    )
    names.say("_none._tcp.shop.test", "SRV", "0 0 0 .")
    with pytest.raises(NotFound, match="it has no servers"):
        find(names, "srv:_none._tcp.shop.test")


def test_a_name_of_the_hosts_file_is_not_asked_for(names: NameServer, tmp_path: Path) -> None:
    """
    It stays a name, with all its addresses.
    """
    (tmp_path / "hosts").write_text("10.0.0.1 shop.test\n")
    lookup = Lookup(ResolveSettings(nameservers=(names.address,)), HostsFile(tmp_path / "hosts"))
    answer = asyncio.run(lookup.find("shop.test:80"))
    assert answer.found == (Found("shop.test:80"),)
    assert names.questions == []
