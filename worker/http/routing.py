"""
Compiles match rules into one question: which route takes this request?

The first rule in the order written wins, to the letter. But whether a rule takes a host
or a path that is written out somewhere is known beforehand: so there is a table for
each such host, with a list for each such path, and in a list are only the rules that
are left, in their order. Pure: routes are whatever the caller wants back.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from penstock.worker.http.matching import (
    Asked,
    Condition,
    Test,
    conditions_of,
    further_conditions,
    host_matcher,
    host_name,
    path_matcher,
)
from penstock.worker.limits import HOSTS_SEEN_MAX, ROUTE_INDEX_STEPS_MAX, ROUTE_SCAN_MAX
from penstock.worker.spec import MatchSpec

RouteT = TypeVar("RouteT")

Takes = Callable[[str], object]


class Miss:
    """
    No route takes the request.

    `allow` has the methods that a route of the same host and path, and whatever else
    it asks for, would take; it is empty when there is no such route.
    """

    __slots__ = ("allow",)

    def __init__(self, allow: frozenset[str]) -> None:
        self.allow = allow


NOT_FOUND = Miss(frozenset())


class Rule(Generic[RouteT]):
    """One rule, taken apart."""

    __slots__ = ("hosts", "match", "methods", "needs", "paths", "route")

    def __init__(self, match: MatchSpec, route: RouteT) -> None:
        self.match = match
        self.route = route
        self.methods = match.methods
        self.hosts = None if match.hosts is None else [(each, host_matcher(each)) for each in match.hosts]
        self.paths = None if match.paths is None else [(each, path_matcher(each)) for each in match.paths]
        self.needs: Test | None = _all_of([each.test for each in further_conditions(match)])

    def takes_host(self, name: str) -> bool:
        """Tell whether it takes a host name; or with a dot in front, all names that end so."""
        return self.hosts is None or any(takes(name) or host == f"*{name}" for host, takes in self.hosts)

    def takes_path(self, path: str) -> bool:
        """Tell whether it takes a path."""
        return self.paths is None or any(takes(path) for _, takes in self.paths)

    @property
    def takes_all_paths(self) -> bool:
        """Tell whether it asks for nothing but a path, whichever."""
        is_any = self.paths is not None and any(pattern == "/" for pattern, _ in self.paths)
        return is_any and self.hosts is None and self.methods is None and self.needs is None

    @property
    def takes_all(self) -> bool:
        """Tell whether it asks for nothing."""
        return self.hosts is None and self.paths is None and self.methods is None and self.needs is None


# What is left to ask, each None if it is nothing: of the path, the method, the rest; then the route.
Check = tuple[Takes | None, frozenset[str] | None, Test | None, RouteT]


class Table(Generic[RouteT]):
    """The rules that requests for a host can meet, in their order."""

    __slots__ = ("known", "others", "segments")

    def __init__(self, rules: Sequence[Rule[RouteT]], *, is_indexed: bool) -> None:
        exact = {
            pattern: None
            for rule in rules
            for pattern, _ in rule.paths or ()
            if is_indexed and not pattern.startswith("~") and not pattern.endswith("/")
        }
        # By a path that is written out in a rule.
        self.known: dict[str, tuple[Check[RouteT], ...]] = {
            path: _checks([(rule, None) for rule in rules if rule.takes_path(path)]) for path in exact
        }
        # Of any other path: by its first part, and those that are for none of these.
        loose = [(rule, [each for each in rule.paths or () if each[0] not in exact]) for rule in rules]
        prefixes = {_segment(pattern) for _, paths in loose for pattern, _ in paths if _is_deep(pattern)}
        self.segments: dict[str, tuple[Check[RouteT], ...]] | None = None
        if is_indexed and len(prefixes) > ROUTE_SCAN_MAX:
            self.segments = {key: _among(loose, key) for key in prefixes}
        self.others: tuple[Check[RouteT], ...] = _among(loose, None if self.segments is None else "")


class Router(Generic[RouteT]):
    """
    Finds the first route, in the order written, whose rule a request meets.

    `only` is the route that takes everything, when it is the first: then there
    is nothing to ask. `is_plain` says that no rule asks for more than host, path and
    method, so `find` will do; else it is `find_for`.
    """

    def __init__(self, rules: Sequence[tuple[MatchSpec, RouteT]]) -> None:
        self.rules = [Rule(match, route) for match, route in rules]
        self.is_plain = all(rule.needs is None for rule in self.rules)
        self.only: RouteT | None = None
        if self.rules and self.rules[0].takes_all:
            self.only = self.rules[0].route
        # That which takes every absolute path, when it is the first.
        self.usual: RouteT | None = self.only
        if self.rules and self.rules[0].takes_all_paths:
            self.usual = self.rules[0].route
        hosts = {host: None for rule in self.rules for host, _ in rule.hosts or ()}
        tables = {
            name: [rule for rule in self.rules if rule.takes_host(name)]
            for name in ("", *(host[1:] if host.startswith("*.") else host for host in hosts))
        }
        steps = sum(sum(len(rule.paths or ("",)) for rule in rules) ** 2 for rules in tables.values())
        is_indexed = steps <= ROUTE_INDEX_STEPS_MAX
        # By host name, or by the end of one, from its dot on; and that of all others.
        self._tables = {name: Table(rules, is_indexed=is_indexed) for name, rules in tables.items()}
        self._any = self._tables.pop("")
        self._has_hosts = bool(hosts)
        # By the header as it came: most requests have one of a few.
        self._seen: dict[bytes | None, Table[RouteT]] = {}

    def find(self, method: str, host: bytes | None, path: str) -> RouteT | Miss:
        """
        Return the route for a request, or the Miss that explains why there is none.

        `host` is as it was sent; case and port do not matter.
        """
        table = self._any
        if self._has_hosts:
            table = self._seen[host] if host in self._seen else self._table(host)
        if path in table.known:
            checks = table.known[path]
        elif table.segments is None:
            checks = table.others
        else:
            checks = table.segments.get(path[: path.find("/", 1) + 1], table.others)
        allow: frozenset[str] | None = None
        for takes, methods, _, route in checks:
            if takes is None or takes(path):
                if methods is None or method in methods:
                    return route
                allow = methods if allow is None else allow | methods
        return NOT_FOUND if allow is None else Miss(allow)

    def find_for(self, asked: Asked) -> RouteT | Miss:
        """Return the route for a request of which anything may matter, or the Miss."""
        path, method = asked.path, asked.method
        table = self._table(asked.host) if self._has_hosts else self._any
        checks = table.known.get(path)
        if checks is None:
            checks = table.others
            if table.segments is not None:
                checks = table.segments.get(path[: path.find("/", 1) + 1], checks)
        allow: frozenset[str] | None = None
        for takes, methods, needs, route in checks:
            if (takes is None or takes(path)) and (needs is None or needs(asked)):
                if methods is None or method in methods:
                    return route
                allow = methods if allow is None else allow | methods
        return NOT_FOUND if allow is None else Miss(allow)

    def _table(self, host: bytes | None) -> Table[RouteT]:
        """Look up the table of a host, and remember it."""
        table = self._seen.get(host)
        if table is not None:
            return table
        name = host_name(host)
        # No name begins with a dot, but a client may send one.
        table = None if name.startswith(".") else self._tables.get(name)
        at = name.find(".", 1)
        while table is None and at > 0:
            # The longest wildcard: its table has the shorter ones, too.
            table = self._tables.get(name[at:])
            at = name.find(".", at + 1)
        if table is None:
            table = self._any
        if len(self._seen) >= HOSTS_SEEN_MAX:
            self._seen.clear()
        self._seen[host] = table
        return table


class Finding(NamedTuple):
    """What came of one rule: it takes the request if `failed` is None, else this it does not meet."""

    position: int
    conditions: tuple[Condition, ...]
    failed: Condition | None


def explain(router: Router[RouteT], asked: Asked) -> list[Finding]:
    """Tell of each rule, up to the one that takes the request, which condition fails first."""
    findings: list[Finding] = []
    for index, rule in enumerate(router.rules):
        conditions = conditions_of(rule.match)
        failed = next((each for each in conditions if not each.test(asked)), None)
        findings.append(Finding(index, conditions, failed))
        if failed is None:
            break
    return findings


def _all_of(tests: Sequence[Test]) -> Test | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda asked: all(test(asked) for test in tests)


def _checks(rules: Sequence[tuple[Rule[RouteT], Takes | None]]) -> tuple[Check[RouteT], ...]:
    """Write rules as what is left to ask of each; none after one that asks for nothing."""
    found: list[Check[RouteT]] = []
    for rule, takes in rules:
        found.append((takes, rule.methods, rule.needs, rule.route))
        if takes is None and rule.methods is None and rule.needs is None:
            break
    return tuple(found)


def _among(
    loose: Sequence[tuple[Rule[RouteT], list[tuple[str, Takes]]]], key: str | None
) -> tuple[Check[RouteT], ...]:
    """Choose the rules for paths of a first part; None: for any. What begins otherwise is left out."""
    found: list[tuple[Rule[RouteT], Takes | None]] = []
    for rule, paths in loose:
        if rule.paths is None:
            found.append((rule, None))
            continue
        tests = [takes for each, takes in paths if key is None or not _is_deep(each) or _segment(each) == key]
        if tests:
            found.append((rule, _any_of(tests)))
    return _checks(found)


def _any_of(tests: Sequence[Takes]) -> Takes:
    return tests[0] if len(tests) == 1 else lambda path: any(takes(path) for takes in tests)


def _is_deep(pattern: str) -> bool:
    """Tell whether a pattern is a prefix that says how a path begins."""
    return pattern.endswith("/") and pattern[0] == "/" and pattern != "/"


def _segment(pattern: str) -> str:
    return pattern[: pattern.find("/", 1) + 1]
