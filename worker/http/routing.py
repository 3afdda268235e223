"""
Compiles match rules into one question: which route takes this request?

Pure: routes are whatever the caller wants back.
"""

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from penstock.worker.spec import MatchSpec

RouteT = TypeVar("RouteT")


class Miss:
    """
    No route takes the request.

    `allow` has the methods that a route of the same host and path would take;
    it is empty when there is no such route.
    """

    __slots__ = ("allow",)

    def __init__(self, allow: frozenset[str]) -> None:
        self.allow = allow


NOT_FOUND = Miss(frozenset())


class Router(Generic[RouteT]):
    """
    Finds the first route, in the order written, whose rule a request meets.

    `only` is the route that takes everything, when it is the first: then there
    is nothing to ask.
    """

    def __init__(self, rules: Sequence[tuple[MatchSpec, RouteT]]) -> None:
        self._rules = [
            (match.host, None if match.path is None else path_matcher(match.path), match.methods, route)
            for match, route in rules
        ]
        self.only: RouteT | None = None
        if self._rules and self._rules[0][:3] == (None, None, None):
            self.only = self._rules[0][3]

    def find(self, method: str, host: bytes | None, path: str) -> RouteT | Miss:
        """
        Return the route for a request, or the Miss that explains why there is none.

        `host` is as it was sent; case and port do not matter.
        """
        name: str | None = None
        allow: frozenset[str] | None = None
        for wanted_host, matches_path, methods, route in self._rules:
            if wanted_host is not None:
                if name is None:
                    name = host_name(host)
                if name != wanted_host:
                    continue
            if matches_path is not None and not matches_path(path):
                continue
            if methods is None or method in methods:
                return route
            allow = methods if allow is None else allow | methods
        return NOT_FOUND if allow is None else Miss(allow)


def path_matcher(pattern: str) -> Callable[[str], object]:
    """
    Return the test for a path: "~" starts a regular expression, a final "/"
    makes a prefix, anything else is exact.
    """
    if pattern.startswith("~"):
        return re.compile(pattern[1:]).search
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
