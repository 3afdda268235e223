"""
What a route's path took of a request's: the rest behind a prefix, the groups of a regular expression.

It is given as it was sent, so that what was encoded stays so.
"""

import re
from collections.abc import Mapping, Sequence

from penstock.worker.http.patterns import compile_pattern, groups_of
from penstock.worker.http.raw_paths import below_root, raw_span, without_prefix

REST = "rest"


def names_of(paths: Sequence[str] | None) -> frozenset[str]:
    """List the variables that a route with these paths has: only what each of them gives."""
    every = [groups_of(path[1:]) if path.startswith("~") else frozenset((REST,)) for path in paths or ("/",)]
    return frozenset.intersection(*every)


class Captures:
    """Takes the path of a request apart as the route's paths do."""

    __slots__ = ("_paths", "_root_path")

    def __init__(self, paths: Sequence[str] | None, root_path: str = "") -> None:
        self._paths = [
            (each, compile_pattern(each[1:]) if each.startswith("~") else None) for each in paths or ("/",)
        ]
        self._root_path = root_path

    def of(self, path: str, raw_path: bytes) -> Mapping[str, bytes]:
        """Give the variables of a path that the route took. It may have the root path in front."""
        found = self._find(path, raw_path)
        if found is None:
            found = self._find(*below_root(path, raw_path, self._root_path))
        return found or {}

    def _find(self, path: str, raw_path: bytes) -> Mapping[str, bytes] | None:
        for pattern, regex in self._paths:
            if regex is not None:
                match = regex.search(path)
                if match is not None:
                    return groups(match, path, raw_path)
            elif path == pattern:
                return {REST: b""}
            elif pattern.endswith("/") and path.startswith(pattern):
                rest = without_prefix(raw_path, pattern[:-1].encode())
                return {REST: raw_span(path, raw_path, len(pattern), len(path)) if rest is None else rest[1:]}
        return None


def groups(match: re.Match[str], path: str, raw_path: bytes) -> Mapping[str, bytes]:
    """Give the groups of a match, by number and by name; those that took no part are empty."""
    names: dict[str, int] = {str(index): index for index in range(1, match.re.groups + 1)}
    names |= match.re.groupindex
    return {
        name: raw_span(path, raw_path, *match.span(index)) if match.span(index)[0] >= 0 else b""
        for name, index in names.items()
    }
