"""
What a rule asks of a request, as conditions: each can be tested, and told to a person.

Which rule comes first is asked in `routing`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from penstock.worker.http.forwarded import Name, Trust
from penstock.worker.http.patterns import compile_pattern
from penstock.worker.spec import MatchSpec

Fields = list[tuple[bytes, bytes]]


class Asked:
    """A request, as far as rules look at it. `host` is as it was sent; `path` is decoded."""

    __slots__ = ("client", "headers", "host", "method", "path", "query", "raw_path")

    def __init__(  # noqa: PLR0917, made for each request of the listeners that ask for more than a path
        self,
        method: str,
        host: bytes | None,
        path: str,
        raw_path: bytes = b"",
        query: bytes = b"",
        headers: Fields | None = None,
        client: Name | None = None,
    ) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.headers = headers or []
        self.client = client


Test = Callable[[Asked], bool]


class Condition(NamedTuple):
    """One of the things that a rule asks for: its key, what is wanted, the test, and what there is."""

    key: str
    wanted: str
    test: Test
    found: Callable[[Asked], str]


def conditions_of(match: MatchSpec) -> tuple[Condition, ...]:
    """List what a rule asks for, in the order in which it is told."""
    found: list[Condition] = []
    hosts, paths, methods = match.hosts, match.paths, match.methods
    if hosts is not None:
        host_tests = [host_matcher(each) for each in hosts]
        found.append(
            Condition(
                "host",
                " or ".join(hosts),
                lambda asked: _any_takes(host_tests, host_name(asked.host)),
                lambda asked: host_name(asked.host) or "none",
            )
        )
    if paths is not None:
        path_tests = [path_matcher(each) for each in paths]
        found.append(
            Condition(
                "path",
                " or ".join(paths),
                lambda asked: _any_takes(path_tests, asked.path),
                lambda asked: asked.path,
            )
        )
    if methods is not None:
        found.append(
            Condition(
                "methods",
                " or ".join(sorted(methods)),
                lambda asked: asked.method in methods,
                lambda asked: asked.method,
            )
        )
    return (*found, *further_conditions(match))


def further_conditions(match: MatchSpec) -> tuple[Condition, ...]:
    """List what a rule asks for beside host, path and methods."""
    found = [_header_condition(name, wanted) for name, wanted in match.headers]
    found += [_query_condition(name, wanted) for name, wanted in match.query]
    if match.client:
        trust = Trust(match.client)
        found.append(
            Condition(
                "client",
                " or ".join(match.client),
                lambda asked: trust.trusts_peer(asked.client),
                lambda asked: "a UNIX socket" if asked.client is None else asked.client[0],
            )
        )
    return tuple(found)


def _any_takes(tests: list[Callable[[str], object]], text: str) -> bool:
    return any(test(text) for test in tests)


# Hosts and paths.


def host_matcher(pattern: str) -> Callable[[str], object]:
    """Return the test for a host name: "*." stands for one label or more, anything else is exact."""
    if pattern.startswith("*."):
        suffix = pattern[1:]
        return lambda name: name.endswith(suffix) and len(name) > len(suffix)
    return lambda name: name == pattern


def path_matcher(pattern: str) -> Callable[[str], object]:
    """
    Return the test for a path: "~" starts a regular expression, a final "/"
    makes a prefix, anything else is exact.
    """
    if pattern.startswith("~"):
        return compile_pattern(pattern[1:]).search
    if pattern.endswith("/"):
        if pattern == "/":
            # Every origin-form path; "*" of OPTIONS is no path.
            return lambda path: path[:1] == "/"
        return lambda path: path.startswith(pattern)
    return lambda path: path == pattern


def host_name(host: bytes | None) -> str:
    """
    Return the name in a Host header: lower case, without port and final dot.
    """
    if host is None:
        return ""
    name = host.strip(b" \t").decode("latin-1").lower()
    if name.startswith("["):
        return name[: name.find("]") + 1]
    return name.partition(":")[0].removesuffix(".")


# Headers and queries.


def _header_condition(name: str, wanted: str | bool) -> Condition:
    key = name.lower().encode("latin-1")

    def values(asked: Asked) -> Iterator[str]:
        return (value.decode("latin-1") for each, value in asked.headers if each == key)

    return _valued(f"headers.{name}", wanted, values)


def _query_condition(name: str, wanted: str | bool) -> Condition:
    key = name.encode()

    def values(asked: Asked) -> Iterator[str]:
        return query_values(asked.query, key)

    return _valued(f"query.{name}", wanted, values)


def query_values(query: bytes, key: bytes) -> Iterator[str]:
    """Give the values of one name in a query, as forms write them. A name alone has an empty one."""
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        is_coded = b"%" in name or b"+" in name
        if pair and (_unquoted(name) if is_coded else name) == key:
            yield _unquoted(value).decode("utf-8", "replace")


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _valued(key: str, wanted: str | bool, values: Callable[[Asked], Iterator[str]]) -> Condition:
    """Make a condition of something that may be there once, not at all, or more than once."""

    def found(asked: Asked) -> str:
        return ", ".join(map(repr, values(asked))) or "not there"

    if isinstance(wanted, bool):
        told = "there" if wanted else "not there"
        return Condition(key, told, lambda asked: any(True for _ in values(asked)) is wanted, found)
    if wanted.startswith("~"):
        search = compile_pattern(wanted[1:]).search
        return Condition(key, wanted, lambda asked: any(search(each) for each in values(asked)), found)
    return Condition(key, repr(wanted), lambda asked: any(each == wanted for each in values(asked)), found)
