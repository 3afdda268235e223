"""Whatever the table: the route that is found is the first one that a plain reading of the rules finds."""

import re
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.worker.http import routing
from penstock.worker.http.matching import Asked
from penstock.worker.http.routing import Miss, Router, explain
from penstock.worker.limits import HOSTS_SEEN_MAX
from penstock.worker.spec import MatchSpec

HOSTS = ["a.com", "b.com", "x.a.com", "y.x.a.com", "*.a.com", "*.x.a.com", "*.com"]
PATHS = ["/", "/a", "/b", "/a/", "/a/b", "/a/b/", "/c/", "/d/", "/e/", "/f/", "/g/x/", "~^/a", "~b$", "~/"]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "2001:db8::/32", "unix:"]

some = st.lists
wanted = st.one_of(st.booleans(), st.sampled_from(["1", "2", "", "~^1", "~2"]))


def one_or_more(values: list[str]) -> st.SearchStrategy[str | tuple[str, ...] | None]:
    return st.one_of(
        st.none(),
        st.sampled_from(values),
        some(st.sampled_from(values), min_size=1, max_size=3).map(tuple),
    )


matches = st.builds(
    MatchSpec,
    host=one_or_more(HOSTS),
    path=one_or_more(PATHS),
    methods=st.one_of(st.none(), st.frozensets(st.sampled_from(["GET", "PUT", "POST"]), min_size=1)),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), wanted, max_size=1).map(
        lambda d: tuple(d.items())
    ),
    query=st.dictionaries(st.sampled_from(["a", "b"]), wanted, max_size=1).map(lambda d: tuple(d.items())),
    client=st.one_of(st.just(()), some(st.sampled_from(NETWORKS), min_size=1, max_size=2).map(tuple)),
)
plain = st.builds(
    MatchSpec,
    host=one_or_more(HOSTS),
    path=one_or_more(PATHS),
    methods=st.one_of(st.none(), st.frozensets(st.sampled_from(["GET", "PUT", "POST"]), min_size=1)),
)
requests = st.builds(
    Asked,
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.sampled_from(
        [
            None,
            b"",
            b"a.com",
            b"A.com:80",
            b"b.com.",
            b"x.a.com",
            b"z.a.com",
            b"y.x.a.com",
            b"q.y.x.a.com",
            b".a.com",
            b".x.a.com",
            b"com",
            b".com",
            b"[::1]:80",
            b"other",
        ]
    ),
    st.sampled_from(
        [
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/b/",
            "/a/b/c",
            "/b",
            "/c",
            "/c/x",
            "/d/x",
            "/e/",
            "/f/a",
            "/g/",
            "/g/x/y",
            "//a",
            "*",
            "/zb",
        ]
    ),
    st.just(b""),
    st.sampled_from([b"", b"a", b"a=1", b"a=1&a=2", b"b=2&c", b"%61=1", b"a=%31", b"&&=1&b="]),
    st.lists(
        st.tuples(st.sampled_from([b"x-a", b"x-b", b"x-c"]), st.sampled_from([b"1", b"2", b"", b"12"])),
        max_size=3,
    ),
    st.sampled_from(
        [None, ("10.1.2.3", 1), ("10.2.2.3", 1), ("192.0.2.1", 1), ("2001:db8::1", 1), ("::ffff:10.1.2.3", 1)]
    ),
)


def name_of(asked: Asked) -> str:
    name = (asked.host or b"").decode().lower()
    return name.split("]")[0] + "]" if name.startswith("[") else name.split(":")[0].removesuffix(".")


def meets_host(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return re.fullmatch(r".+" + re.escape(pattern[1:]), name) is not None
    return name == pattern


def meets_path(pattern: str, path: str) -> bool:
    if pattern.startswith("~"):
        return re.search(pattern[1:], path) is not None
    return path == pattern or (pattern.endswith("/") and path.startswith(pattern))


def meets_value(value: str | bool, found: list[str]) -> bool:
    if isinstance(value, bool):
        return bool(found) is value
    return any(re.search(value[1:], each) if value.startswith("~") else each == value for each in found)


def meets_client(networks: tuple[str, ...], client: tuple[str, int] | None) -> bool:
    if client is None:
        return "unix:" in networks
    address = ip_address(client[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(each) for each in networks if each != "unix:")


def meets(match: MatchSpec, asked: Asked) -> tuple[bool, bool]:
    """Read a rule as it is written: whether it takes all but the method, and that."""
    pairs = parse_qsl(asked.query.decode(), keep_blank_values=True)
    others = (
        (match.hosts is None or any(meets_host(each, name_of(asked)) for each in match.hosts))
        and (match.paths is None or any(meets_path(each, asked.path) for each in match.paths))
        and all(
            meets_value(value, [each.decode() for key, each in asked.headers if key == name.encode()])
            for name, value in match.headers
        )
        and all(
            meets_value(value, [each for key, each in pairs if key == name]) for name, value in match.query
        )
        and (not match.client or meets_client(match.client, asked.client))
    )
    return others, match.methods is None or asked.method in match.methods


def naive(rules: list[MatchSpec], asked: Asked) -> int | frozenset[str]:
    allow: frozenset[str] = frozenset()
    for index, match in enumerate(rules):
        others, method = meets(match, asked)
        if others and method:
            return index
        if others:
            assert match.methods is not None
            allow |= match.methods
    return allow


def answer(found: int | Miss) -> int | frozenset[str]:
    return found.allow if isinstance(found, Miss) else found


@settings(max_examples=400, deadline=None)
@given(st.lists(matches, max_size=12), st.lists(requests, min_size=1, max_size=5))
def test_the_first_rule_that_is_met_wins_whatever_it_asks_for(
    rules: list[MatchSpec], several: list[Asked]
) -> None:
    """
    Also when hosts were seen before, and the methods of those that fail by their method alone.
    """
    router = Router([(match, index) for index, match in enumerate(rules)])
    for asked in several:
        expected = naive(rules, asked)
        assert answer(router.find_for(asked)) == expected
        findings = explain(router, asked)
        assert [each.position for each in findings] == list(range(len(findings)))
        taken = [each.position for each in findings if each.failed is None]
        assert taken == ([expected] if isinstance(expected, int) else [])
        for each in findings:
            assert (each.failed is None) == all(meets(rules[each.position], asked))


@settings(max_examples=400, deadline=None)
@given(st.lists(plain, max_size=16), requests)
def test_a_plain_table_finds_the_same_by_less(rules: list[MatchSpec], asked: Asked) -> None:
    """
    Without looking at more than three things; and its only route is the one that is always found.
    """
    router = Router([(match, index) for index, match in enumerate(rules)])

    assert router.is_plain
    assert answer(router.find(asked.method, asked.host, asked.path)) == naive(rules, asked)
    if router.only is not None:
        assert naive(rules, asked) == router.only == 0


@settings(max_examples=100, deadline=None)
@given(rules=st.lists(plain, max_size=16), asked=requests)
def test_a_table_that_is_too_large_to_index_finds_the_same(rules: list[MatchSpec], asked: Asked) -> None:
    """
    It only takes longer.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "ROUTE_INDEX_STEPS_MAX", 0)
        router = Router([(match, index) for index, match in enumerate(rules)])
        assert answer(router.find(asked.method, asked.host, asked.path)) == naive(rules, asked)


class Counting(str):
    """A path that counts how often it is compared with another."""

    __slots__ = ()
    looks = 0

    def startswith(self, *prefix: object) -> bool:
        Counting.looks += 1
        return super().startswith(*prefix)  # type: ignore[arg-type]


def test_many_hosts_and_paths_are_not_tried_one_after_the_other() -> None:
    """
    A thousand vhosts, a thousand exact paths, a thousand prefixes: each by one look or a few.
    """
    count = 1000
    rules = [(MatchSpec(host=f"h{index}.example"), index) for index in range(count)]
    assert Router(rules).find("GET", b"h999.example", "/") == 999
    assert len(Router(rules)._table(b"h999.example").others) == 1
    exact = Router([(MatchSpec(path=f"/p/{index}"), index) for index in range(count)])
    assert exact.find("GET", b"x", "/p/999") == 999
    assert len(exact._any.known["/p/999"]) == 1
    assert exact._any.others == ()
    prefixes = Router([(MatchSpec(path=f"/p{index}/"), index) for index in range(count)])
    Counting.looks = 0
    assert prefixes.find("GET", b"x", Counting("/p999/x")) == 999
    assert Counting.looks == 1


def test_clients_cannot_fill_the_memory_with_hosts() -> None:
    """
    Any name may be asked for.
    """
    router = Router([(MatchSpec(host="a.example"), 1)])
    for index in range(3000):
        router.find("GET", b"%d.example" % index, "/")

    assert len(router._seen) <= HOSTS_SEEN_MAX
    assert router.find("GET", b"a.example", "/") == 1
