"""The same server for the same key."""

import subprocess
import sys
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.worker.gateway.balancing import RoundRobin, chooser_of
from penstock.worker.gateway.consistent_hash import ConsistentHash
from penstock.worker.gateway.hash_table import Member, Rendezvous, TableMaker, maglev
from penstock.worker.gateway.request_key import key_of
from penstock.worker.limits import HASH_TABLE_SIZE
from tests.worker.gateway.asking import UNTRIED, Backend, asks, group

ADDRESSES = st.lists(
    st.tuples(st.integers(0, 255).map(lambda each: f"10.0.0.{each}:80"), st.integers(1, 4)),
    min_size=2,
    max_size=8,
    unique_by=lambda each: each[0],
)
RENDEZVOUS_16 = "1331121333333233"
MAGLEV_16 = "2121313221213333"
MAKERS = pytest.mark.parametrize("maker", [Rendezvous, lambda: maglev], ids=["rendezvous", "maglev"])


def table(maker: TableMaker, servers: list[tuple[str, int]]) -> list[str]:
    """Make a table of addresses."""
    made = maker([Member(at, address, weight) for at, (address, weight) in enumerate(servers)])
    return [servers[position][0] for position in made]


@MAKERS
@given(servers=ADDRESSES)
@settings(max_examples=15)
def test_shares_follow_the_weights(maker: type, servers: list[tuple[str, int]]) -> None:
    """
    Exactly with maglev, within the luck of lots with rendezvous (five standard deviations).
    """
    found = Counter(table(maker(), servers))
    total = sum(weight for _, weight in servers)
    for address, weight in servers:
        part = weight / total
        slack = 5 * (part * (1 - part) / HASH_TABLE_SIZE) ** 0.5 if maker is Rendezvous else 0.001
        assert found[address] / HASH_TABLE_SIZE == pytest.approx(part, abs=slack)


@MAKERS
@given(servers=ADDRESSES, data=st.data())
@settings(max_examples=15)
def test_what_moves_when_a_server_goes_or_comes(
    maker: type, servers: list[tuple[str, int]], data: st.DataObject
) -> None:
    """
    Its own share, and with rendezvous nothing else at all.
    """
    gone = data.draw(st.sampled_from(servers))
    make = maker()
    before = table(make, servers)
    after = table(make, [each for each in servers if each != gone])
    again = table(make, [*reversed(servers)])

    assert again == before
    others = [(old, new) for old, new in zip(before, after, strict=True) if old != gone[0]]
    moved = sum(old != new for old, new in others)
    assert moved == 0 if maker is Rendezvous else moved / HASH_TABLE_SIZE < 0.15


@MAKERS
def test_few_other_keys_move_among_many_servers(maker: type) -> None:
    """
    One of 20 goes: a twentieth moves, and of the rest little.
    """
    servers = [(f"10.0.0.{number}:80", 1) for number in range(20)]
    make = maker()
    before, after = table(make, servers), table(make, servers[1:])
    moved = sum(old != new for old, new in zip(before, after, strict=True)) / HASH_TABLE_SIZE
    assert moved < 0.08


@MAKERS
def test_every_process_agrees(maker: type) -> None:
    """
    Whatever the seed of Python's own hash, and in whatever order the servers are written.
    """
    servers = [("10.0.0.1:80", 1), ("[::1]:9000", 2), ("unix:/run/app.sock", 3)]
    expected = table(maker(), servers)
    name = "Rendezvous()" if maker is Rendezvous else "maglev"
    code = f"""
from tests.worker.gateway.test_consistent_hash import Rendezvous, maglev, table
import zlib
print(zlib.crc32("".join(table({name}, {servers[::-1]})).encode()))
"""
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        )
        assert int(result.stdout) == zlib.crc32("".join(expected).encode())


def test_the_table_is_the_one_of_the_release_before() -> None:
    """
    During a roll old and new workers serve side by side, and a cache behind them is not to be lost.
    """
    servers = [("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 2)]
    assert [each[7] for each in table(Rendezvous(), servers)[:16]] == [*RENDEZVOUS_16]
    assert [each[7] for each in table(maglev, servers)[:16]] == [*MAGLEV_16]


@given(down=st.sets(st.integers(0, 5), max_size=5), tried=st.sets(st.integers(0, 5), max_size=2))
def test_a_server_that_is_down_moves_no_key_but_its_own(down: set[int], tried: set[int]) -> None:
    """
    And they come back with it.
    """
    hashed = ConsistentHash(key_of("path"), maglev, RoundRobin(lambda: 0.0))
    everybody = chooser_of(hashed, group([1] * 6))
    up = chooser_of(hashed, group([int(index not in down) for index in range(6)], shares=[1] * 6))
    keys = [b"/%d" % number for number in range(50)]
    for key in keys:
        home = everybody(UNTRIED, asks(key))
        found = up(UNTRIED, asks(key))
        assert found not in down
        assert found == home or home in down
        assert up(tried, asks(key)) not in (tried if len(tried | down) < 6 else ())
    assert [chooser_of(hashed, group([1] * 6))(UNTRIED, asks(key)) for key in keys] == [
        everybody(UNTRIED, asks(key)) for key in keys
    ]


def test_keys_of_a_server_that_is_down_go_to_all_others() -> None:
    """
    Not all to a neighbour, which would be the next to fall.
    """
    hashed = ConsistentHash(key_of("path"), maglev, RoundRobin(lambda: 0.0))
    everybody = chooser_of(hashed, group([1] * 5))
    keys = [b"/%d" % number for number in range(20_000)]
    orphans = [key for key in keys if everybody(UNTRIED, asks(key)) == 2]
    up = chooser_of(hashed, group([1, 1, 0, 1, 1], shares=[1] * 5))
    found = Counter(up(UNTRIED, asks(key)) for key in orphans)
    assert len(orphans) == pytest.approx(4000, rel=0.1)
    assert set(found) == {0, 1, 3, 4}
    for count in found.values():
        assert count == pytest.approx(len(orphans) / 4, rel=0.15)


def test_without_the_key_requests_go_in_turn() -> None:
    """
    And not all to the server of the empty key.
    """
    choose = chooser_of(
        ConsistentHash(key_of("header:x-user"), maglev, RoundRobin(lambda: 0.0)), group([1, 1, 1])
    )
    assert [choose(UNTRIED, asks()) for _ in range(4)] == [0, 1, 2, 0]
    assert len({choose(UNTRIED, asks(x_user="tom")) for _ in range(4)}) == 1


def test_a_popular_key_does_not_bury_its_server() -> None:
    """
    Beyond the bound it goes to the next server, which is always the same one.
    """
    backends = [Backend() for _ in range(4)]
    choose = chooser_of(
        ConsistentHash(
            key_of("path"), maglev, RoundRobin(lambda: 0.0), balance_factor=1.25, servers=lambda: backends
        ),
        group([1] * 4),
    )
    order = []
    for _ in range(400):
        index = choose(UNTRIED, asks(b"/popular"))
        backends[index].busy_count += 1
        if index not in order:
            order.append(index)
    assert max(each.busy_count for each in backends) <= 126
    for each in backends:
        each.busy_count = 0
    assert choose(UNTRIED, asks(b"/popular")) == order[0]
    assert choose([order[0]], asks(b"/popular")) == order[1]


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("header:X-User", b"tom"),
        ("header:x-none", None),
        ("cookie:id", b"7"),
        ("cookie:i", None),
        ("cookie:last", b"9"),
        ("query:b", b"2"),
        ("query:a", b"1"),
        ("query:c", b""),
        ("query:d", None),
        ("client", b"10.1.1.1"),
        ("path", b"/x"),
        ("uri", b"/x?a=1&b=2&c="),
    ],
)
def test_where_a_key_is(by: str, key: bytes | None) -> None:
    """
    A name that is the end of another one is not the same.
    """
    request = asks(
        b"/x", b"a=1&b=2&c=", "10.1.1.1", x_user="tom", cookie="xid=5; id=7; yi=3;last=9", host="shop"
    )
    assert key_of(by)(request.scope) == key
    assert key_of("client")(asks(client=None).scope) is None
    assert key_of("uri")(asks(b"/y").scope) == b"/y"
    assert key_of("query:a")(asks(b"/y").scope) is None
