"""
YAML text as a tree of nodes that know where they stand.

Built from libyaml's events and not by its composer, because the composer
recurses in C without a limit, drops the marks of aliases and lets the last of
two equal keys win in silence. Nothing here knows what a key means.
"""

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NoReturn

import yaml

from penstock.master.config.problems import ConfigError, Place, Problem, quoted

# The example is 4 KiB; a gateway of 1,000 routes is 200 KiB.
FILE_BYTES_MAX = 4 * 1024 * 1024
# The deepest key, a value in a log configuration, is at depth 8.
DEPTH_MAX = 32

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `is_plain` means without quotes, `is_literal` that `${...}` in it means itself."""

    place: Place
    text: str
    is_plain: bool = True
    is_literal: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order written."""

    place: Place
    items: tuple[tuple[Scalar, "Node"], ...]

    def get(self, key: str) -> "Node | None":
        """Find the value of a key."""
        return next((value for name, value in self.items if name.text == key), None)


Node = Scalar | Sequence | Mapping


def read_tree(file: str, shown: str = "") -> Node:
    """Read a YAML file, called `shown` in messages. Raises ConfigError, whatever the file holds."""
    shown = shown or file
    place = Place(shown)
    try:
        # Bounded: /dev/zero is a file too.
        with FilePath(file).open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except IsADirectoryError:
        _refuse(place, "is a directory, expected a configuration file")
    except FileNotFoundError:
        _refuse(place, "no such file")
    except (OSError, ValueError) as error:
        _refuse(place, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > FILE_BYTES_MAX:
        _refuse(place, f"is larger than {FILE_BYTES_MAX // 2**20} MiB, expected a configuration file")
    return parse_tree(data, shown)


def parse_tree(data: bytes, file: str) -> Node:
    """Parse YAML. Raises ConfigError, whatever the bytes are."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        _refuse(Place(file, line, column), f"found the byte 0x{data[error.start]:02x}, expected UTF-8 text")
    try:
        return _Composer(file, text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        _refuse(place, f"not YAML: {_yaml_problem(error, text)}")
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = Place(file, before.count("\n") + 1, column)
        _refuse(place, "not YAML: found a control character")


def _yaml_problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """Say what libyaml found, and what the usual reasons are."""
    problem = error.problem or "cannot be parsed"
    mark = error.problem_mark
    # Lines as libyaml counts them: by line feeds and by its own few others.
    lines = text.split("\n")
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "cannot start any token" in problem:
        return f"{problem} (a tab in the indentation, or '@', '`' or '%' without quotes)"
    if "mapping values are not allowed" in problem:
        return f"{problem} (a ': ' too many, or a wrong indentation)"
    if "flow" in (error.context or "") and "${" in line:
        problem += " (a ${...} between { and } or [ and ] stands in quotes)"
    return f"{error.context}: {problem}" if error.context else problem


def _refuse(place: Place, message: str) -> NoReturn:
    raise ConfigError([Problem(place, (), message)]) from None


class _Composer:
    """Turns events into nodes, one document, with every limit checked on the way."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._events = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node:
        self._next()  # The start of the stream.
        if isinstance(self._next(), yaml.StreamEndEvent):
            _refuse(Place(self._file), "is empty, expected a configuration")
        node = self._node(self._next(), 0)
        self._next()  # The end of the document.
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            _refuse(self._place(after), "found a second document, expected one")
        return node

    def _next(self) -> Any:
        return next(self._events)

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        if depth > DEPTH_MAX:
            _refuse(place, f"found more than {DEPTH_MAX} levels of nesting")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                _refuse(
                    place, f"found the alias {quoted(f'*{event.anchor}')}, expected one of an anchor above"
                )
            return self._anchors[event.anchor]
        if event.tag is not None:
            _refuse(place, f"found the tag {quoted(event.tag)}, expected a value without a tag")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(place, event.value, is_plain=event.implicit[0])
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(place, tuple(self._items(depth)))
        else:
            node = Mapping(place, tuple(self._pairs(depth)))
        # Only now: an alias inside its own anchor would be a tree without end.
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _items(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _pairs(self, depth: int) -> list[tuple[Scalar, Node]]:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                _refuse(key.place, "found a list or a mapping as a key, expected a word")
            if key.text == "<<" and key.is_plain:
                _refuse(
                    key.place,
                    "found the merge key '<<', expected the keys themselves or an alias for all of them",
                )
            if key.text in pairs:
                first = pairs[key.text][0].place.line
                _refuse(
                    key.place,
                    f"found the key {quoted(key.text)} again, expected it once (first on line {first})",
                )
            pairs[key.text] = (key, self._node(self._next(), depth + 1))
        return list(pairs.values())
