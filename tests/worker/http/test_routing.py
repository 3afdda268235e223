"""Match rules: which route takes a request."""

import pytest

from penstock.worker.http.matching import host_name, path_matcher
from penstock.worker.http.routing import Miss, Router
from penstock.worker.spec import MatchSpec


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a", "/ab", False),
        ("/a/", "/a/", True),
        ("/a/", "/a/b", True),
        ("/a/", "/a", False),
        ("/", "/anything", True),
        ("/", "*", False),
        ("~^/v[0-9]+/", "/v12/x", True),
        ("~^/v[0-9]+/", "/v/x", False),
        (r"~\.php$", "/a/b.php", True),
        (r"~\.php$", "/a/b.phps", False),
    ],
)
def test_paths(pattern: str, path: str, *, matches: bool) -> None:
    """
    Exact, prefix, and regular expression anywhere in the path.
    """
    assert bool(path_matcher(pattern)(path)) is matches


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"Example.COM", "example.com"),
        (b"example.com:8080", "example.com"),
        (b"example.com.", "example.com"),
        (b"[::1]:80", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"", ""),
        (None, ""),
    ],
)
def test_host_names(host: bytes | None, name: str) -> None:
    """
    Case, port and final dot do not matter.
    """
    assert host_name(host) == name


def test_first_match_wins() -> None:
    """
    In the order written, not by how special a rule is.
    """
    router = Router([(MatchSpec(path="/"), "all"), (MatchSpec(path="/a"), "a")])
    assert router.find("GET", b"x", "/a") == "all"
    router = Router([(MatchSpec(path="/a"), "a"), (MatchSpec(path="/"), "all")])
    assert router.find("GET", b"x", "/a") == "a"


def test_catch_all_that_comes_first_needs_no_asking() -> None:
    """
    The usual case costs nothing.
    """
    assert Router([(MatchSpec(), "app"), (MatchSpec(path="/a"), "a")]).only == "app"
    assert Router([(MatchSpec(path="/a"), "a"), (MatchSpec(), "app")]).only is None
    assert Router([(MatchSpec(path="/"), "app")]).only is None
    assert Router[str]([]).only is None


def test_miss_tells_which_methods_there_are() -> None:
    """
    Only those of routes that the host and path would reach.
    """
    router = Router(
        [
            (MatchSpec(path="/a", methods=frozenset({"GET"})), 1),
            (MatchSpec(path="/a", methods=frozenset({"PUT"})), 2),
            (MatchSpec(path="/a", methods=frozenset({"DELETE"}), host="other"), 3),
        ]
    )
    assert router.find("PUT", b"x", "/a") == 2
    refused = router.find("POST", b"x", "/a")
    assert isinstance(refused, Miss)
    assert refused.allow == {"GET", "PUT"}
    nowhere = router.find("GET", b"x", "/b")
    assert isinstance(nowhere, Miss)
    assert not nowhere.allow
