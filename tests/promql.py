"""
Which metrics and labels a PromQL expression asks for, held against those that there are.

Prometheus answers a question about a metric that does not exist with nothing, so a
misspelt alert never fires. This reads names, matchers and groupings; whether the rest of
an expression is PromQL, promtool knows better.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

# What Prometheus adds to every series of a target.
TARGET_LABELS = frozenset({"job", "instance"})

TOKEN = re.compile(
    r"""
      (?P<space>\s+|\#[^\n]*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<variable>\$\w+|\$\{[^}]*\})
    | (?P<number>[0-9.][\w.]*)
    | (?P<word>[A-Za-z_:][\w:]*)
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],@:])
    """,
    re.VERBOSE,
)
PAIRS = {"(": ")", "{": "}", "[": "]"}
GROUPINGS = ("by", "without")
MATCHINGS = ("on", "ignoring", "group_left", "group_right")
WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"})


@dataclass(frozen=True)
class Matcher:
    """A condition on a label, as in `code="5xx"`."""

    label: str
    sign: str
    value: str

    def values(self) -> tuple[str, ...]:
        """Give the values that it names, which are none if it is a pattern or has a variable."""
        if "$" in self.value:
            return ()
        values = (self.value,) if self.sign in ("=", "!=") else tuple(self.value.split("|"))
        return values if self.sign in ("=", "!=") or all(map(re.compile(r"[\w-]+").fullmatch, values)) else ()


@dataclass(frozen=True)
class Selector:
    """A metric and the conditions on its labels."""

    name: str
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True)
class Grouping:
    """Labels that an aggregation or a match keeps or drops, and the metrics that they are to be labels of."""

    labels: tuple[str, ...]
    metrics: frozenset[str]


@dataclass(frozen=True)
class Exported:
    """What a server exports: of each metric, its labels, and of each label, its values."""

    metrics: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, exposition: str) -> "Exported":
        """Read what a server answered to a scrape in the text format; `up` is Prometheus' own."""
        found: dict[str, dict[str, set[str]]] = {"up": {}}
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
        return cls(
            {
                name: {label: frozenset(values) for label, values in labels.items()}
                for name, labels in found.items()
            }
        )


def names(expression: str) -> set[str]:
    """Give the metrics that an expression asks for."""
    return {selector.name for selector in read(expression)[0]}


def faults(expression: str, exported: Exported) -> list[str]:
    """Say what an expression asks for that is not exported."""
    selectors, groupings = read(expression)
    return [*_faults_of_selectors(selectors, exported), *_faults_of_groupings(groupings, exported)]


def _faults_of_selectors(selectors: Iterable[Selector], exported: Exported) -> Iterator[str]:
    for selector in selectors:
        labels = exported.metrics.get(selector.name)
        if labels is None:
            yield f"no metric {selector.name}"
            continue
        for matcher in selector.matchers:
            if matcher.label in TARGET_LABELS:
                continue
            if matcher.label not in labels:
                yield f"{selector.name} has no label {matcher.label}"
                continue
            for value in matcher.values():
                if value not in labels[matcher.label]:
                    yield f"{selector.name} has no {matcher.label}={value!r}"


def _faults_of_groupings(groupings: Iterable[Grouping], exported: Exported) -> Iterator[str]:
    for grouping in groupings:
        known = TARGET_LABELS.union(*(exported.metrics.get(name, {}) for name in grouping.metrics))
        for label in grouping.labels:
            if label not in known:
                yield f"nothing of {', '.join(sorted(grouping.metrics))} has a label {label}"


def read(expression: str) -> tuple[list[Selector], list[Grouping]]:
    """Take an expression apart. Raises ValueError for what cannot be a part of one."""
    tokens = _tokens(expression)
    for index, token in enumerate(tokens):
        if token[0] == "sign" and token[1] in PAIRS:
            _closing(tokens, index)
    selectors: dict[int, Selector] = {}  # by the token they begin at
    spans: list[tuple[tuple[str, ...], int, int]] = []
    index = 0
    while index < len(tokens):
        kind, text = tokens[index]
        following = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if text in GROUPINGS + MATCHINGS and kind == "word" and following == "(":
            end = _closing(tokens, index + 1)
            labels = tuple(text for kind, text in tokens[index + 2 : end] if kind == "word")
            spans.append((labels, *_operand(tokens, index, end, text)))
            index = end
        elif kind == "word" and following not in ("(", *GROUPINGS) and text.lower() not in WORDS:
            end = _closing(tokens, index + 1) if following == "{" else index
            selectors[index] = Selector(text, tuple(_matchers(tokens[index + 2 : end])))
            index = end
        elif text == "{":
            raise ValueError(f"a selector without a name: {expression}")
        elif text == "[":
            index = _closing(tokens, index)  # A range; units of time are no metrics.
        index += 1
    groupings = [
        Grouping(labels, frozenset(each.name for at, each in selectors.items() if start <= at < end))
        for labels, start, end in spans
    ]
    return list(selectors.values()), groupings


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens = []
    at = 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"not PromQL at {expression[at : at + 20]!r}: {expression}")
        at = match.end()
        if match.lastgroup != "space":
            tokens.append((str(match.lastgroup), match[0]))
    return tokens


def _closing(tokens: list[tuple[str, str]], start: int) -> int:
    """Find the bracket that closes the one at `start`."""
    opening, closing = tokens[start][1], PAIRS[tokens[start][1]]
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index] == ("sign", opening)) - (tokens[index] == ("sign", closing))
        if depth == 0:
            return index
    raise ValueError(f"{opening} is never closed")


def _operand(tokens: list[tuple[str, str]], start: int, end: int, word: str) -> tuple[int, int]:
    """Find what labels in parentheses are about: the parentheses beside them, or everything."""
    if word in MATCHINGS:
        return 0, len(tokens)
    if end + 1 < len(tokens) and tokens[end + 1][1] == "(":
        return end + 1, _closing(tokens, end + 1)
    depth = 0
    for index in range(start - 1, -1, -1):  # sum(...) by (label)
        depth += (tokens[index] == ("sign", ")")) - (tokens[index] == ("sign", "("))
        if depth == 0:
            return index, start
    raise ValueError(f"{word} stands beside nothing")


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[Matcher]:
    parts = [token for token in tokens if token != ("sign", ",")]
    for (_, label), (_, sign), (kind, value) in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if kind != "string":
            raise ValueError(f"{label}{sign} is followed by {value}, expected a string")
        yield Matcher(label, sign, value[1:-1])
