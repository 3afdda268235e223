"""
From nodes to records: every value read as its field wants it, every fault noted.

One walk serves the file, the options and the environment, because all three
arrive as one tree. It goes on after a fault, so that the operator hears of
all of them at once; what could be built is kept for judge.py to look at.
"""

from collections.abc import Mapping as EnvironmentMapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from msgspec import inspect

from penstock.master.config import tree
from penstock.master.config.ini import read_ini
from penstock.master.config.kinds import KINDS
from penstock.master.config.model import Config
from penstock.master.config.problems import (
    ConfigError,
    Mismatch,
    Path,
    Place,
    Problem,
    listed,
    nearest,
    quoted,
)
from penstock.master.config.record import Record
from penstock.master.config.variables import substituted

# An alias costs nothing to write and everything to follow. A real file of
# 1,000 routes has some 20,000 nodes.
NODES_MAX = 100_000

NULLS = {"", "~", "null", "Null", "NULL"}
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

# A value that could not be built; its fault has been noted.
BROKEN: Final = object()


@dataclass(slots=True)
class Walk:
    """What a walk found: faults, where each value stood, and every record it could build."""

    # None: `${...}` means itself.
    environ: EnvironmentMapping[str, str] | None
    problems: list[Problem] = field(default_factory=list)
    places: dict[Path, Place] = field(default_factory=dict)
    records: list[tuple[Path, Record]] = field(default_factory=list)
    node_count: int = 0

    def fault(self, place: Place, path: Path, message: str) -> Any:
        """Note a fault; answers BROKEN, so that a reader can return it."""
        self.problems.append(Problem(place, path, message))
        return BROKEN

    def place(self, path: Path) -> Place:
        """Find where a value stood, or the nearest thing around it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def build_config(root: tree.Node, walk: Walk) -> Config | None:
    """Read a whole tree; None when it has a fault, which `walk` then holds."""
    config = _build(_described(Config), root, (), walk)
    return None if walk.problems else config


@cache
def _described(record: type[Record]) -> inspect.Type:
    return inspect.type_info(record)


def _build(wanted: inspect.Type, node: tree.Node, path: Path, walk: Walk) -> Any:
    walk.places[path] = node.place
    walk.node_count += 1
    if walk.node_count > NODES_MAX:
        raise ConfigError(
            [Problem(node.place, path, f"found more than {NODES_MAX} values: too many aliases")]
        )
    bare, _ = _bare(wanted)
    choices = [_bare(each)[0] for each in bare.types] if isinstance(bare, inspect.UnionType) else [bare]
    if isinstance(node, tree.Scalar):
        return _build_scalar(wanted, node, path, walk)
    for choice in choices:
        if isinstance(node, tree.Mapping):
            if isinstance(choice, inspect.StructType):
                assert issubclass(choice.cls, Record)
                return _build_record(choice.cls, node, path, walk)
            if isinstance(choice, inspect.DictType):
                return _build_dict(choice, node, path, walk)
        elif isinstance(choice, (inspect.VarTupleType, inspect.FrozenSetType)):
            return _build_items(choice, node, path, walk)
        if isinstance(choice, inspect.AnyType):
            return _plain(node, path, walk)
    found = "a mapping" if isinstance(node, tree.Mapping) else "a list"
    return walk.fault(node.place, path, f"found {found}, expected {_expected(wanted)}")


def _build_record(cls: type[Record], node: tree.Mapping, path: Path, walk: Walk) -> Any:
    described = _described(cls)
    assert isinstance(described, inspect.StructType)
    known = {each.encode_name: each for each in described.fields if each.encode_name not in cls.ABSENT}
    fields: dict[str, Any] = {}
    is_whole = True
    for key, value in node.items:
        if key.text not in known:
            is_whole = False
            walk.fault(key.place, (*path, key.text), _unknown_key(key.text, known, cls))
            continue
        wanted = known[key.text]
        built = _build(wanted.type, value, (*path, key.text), walk)
        if built is not BROKEN:
            fields[wanted.name] = built
        elif wanted.required or not _is_container(wanted.type):
            is_whole = False
    written = {key.text for key, _ in node.items}
    for name, wanted in known.items():
        if wanted.required and name not in written:
            is_whole = False
            walk.fault(
                node.place, path, f"found no {name!r}, expected {_expected(wanted.type)} under that key"
            )
    if not is_whole:
        return BROKEN
    record = cls(**cls.completed(fields))
    walk.records.append((path, record))
    return record


def _unknown_key(key: str, known: dict[str, inspect.Field], cls: type[Record]) -> str:
    if key in cls.LATER:
        return f"found the key {key!r}, which is not supported yet"
    told = f"found the key {quoted(key)}, expected {listed(known)}"
    hint = nearest(key, [*known, *cls.LATER])
    return f"{told}; {hint}" if hint else told


def _build_dict(wanted: inspect.DictType, node: tree.Mapping, path: Path, walk: Walk) -> Any:
    built: dict[str, Any] = {}
    is_whole = True
    for key, value in node.items:
        inner = (*path, key.text)
        name = _build_scalar(wanted.key_type, tree.Scalar(key.place, key.text, False, True), inner, walk)
        item = _build(wanted.value_type, value, inner, walk)
        if name is BROKEN or item is BROKEN:
            is_whole = False
        else:
            built[name] = item
    return built if is_whole else BROKEN


def _build_items(
    wanted: inspect.VarTupleType | inspect.FrozenSetType, node: tree.Sequence, path: Path, walk: Walk
) -> Any:
    if len(node.items) < (wanted.min_length or 0):
        return walk.fault(node.place, path, "found an empty list, expected at least one item")
    items = [_build(wanted.item_type, item, (*path, index), walk) for index, item in enumerate(node.items)]
    whole = [each for each in items if each is not BROKEN]
    # Records that are whole are judged though a sibling is not; a scalar list is one value.
    if len(whole) < len(items) and not isinstance(_bare(wanted.item_type)[0], inspect.StructType):
        return BROKEN
    return frozenset(whole) if isinstance(wanted, inspect.FrozenSetType) else tuple(whole)


def _build_scalar(wanted: inspect.Type, node: tree.Scalar, path: Path, walk: Walk) -> Any:
    text = node.text
    is_replaced = False
    if walk.environ is not None and not node.is_literal and "${" in text:
        try:
            text, is_replaced = substituted(text, walk.environ), True
        except Mismatch as mismatch:
            if "password" in _kinds(wanted):
                mismatch.found = mismatch.found or "a text with a variable"
            return walk.fault(node.place, path, mismatch.message(node.text))
    # What a variable brings is typed as if it had been written there.
    is_plain = node.is_plain or is_replaced
    try:
        return read_scalar(wanted, text, is_plain=is_plain)
    except Mismatch as mismatch:
        if is_replaced:
            mismatch.found = f"{mismatch.found or quoted(text)} (from {quoted(node.text)})"
        return walk.fault(node.place, path, mismatch.message(text))


def read_scalar(wanted: inspect.Type, text: str, *, is_plain: bool) -> Any:
    """Read a text as the first of the wanted types that takes it. Raises Mismatch."""
    bare, extra = _bare(wanted)
    if "file" in extra:
        return FILES[extra["file"]](text)
    choices = list(bare.types) if isinstance(bare, inspect.UnionType) else [wanted]
    if is_plain and (text in NULLS or text == "none"):
        if any(isinstance(each, inspect.NoneType) for each in choices):
            return None
        if text in NULLS and not isinstance(bare, (inspect.StrType, inspect.AnyType)):
            raise Mismatch(_expected(wanted), found="nothing" if text == "" else text)
    first: Mismatch | None = None
    for choice in choices:
        try:
            return _read_choice(choice, text, is_plain)
        except Mismatch as mismatch:
            # The hint of a member that nearly took it is worth more than that of one that never could.
            if first is None or (mismatch.hint and not first.hint):
                first = mismatch
    assert first is not None
    if text == "off" and any(isinstance(each, inspect.NoneType) for each in choices):
        first.hint = "write none"
    # A list of the same is not what somebody wanted who wrote one.
    if sum(not isinstance(_bare(each)[0], (inspect.NoneType, inspect.VarTupleType)) for each in choices) > 1:
        first.expected = _expected(wanted)
    raise first


def _read_choice(choice: inspect.Type, text: str, is_plain: bool) -> Any:
    bare, extra = _bare(choice)
    if "kind" in extra:
        return KINDS[extra["kind"]].read(text)
    if isinstance(bare, inspect.LiteralType):
        by_text = {str(each): each for each in bare.values}
        if text in extra.get("later", ()):
            raise Mismatch(f"{_expected(choice)}: {text!r} is not supported yet")
        if text not in by_text:
            raise Mismatch(_expected(choice), hint=nearest(text, by_text))
        return by_text[text]
    if isinstance(bare, inspect.StrType):
        return text
    if isinstance(bare, inspect.AnyType):
        return _resolved(text, is_plain)
    quotes = "" if is_plain else f"{text!r} in quotes"
    if isinstance(bare, inspect.BoolType):
        if quotes or text.lower() not in BOOLEANS:
            raise Mismatch(_expected(choice), found=quotes)
        return BOOLEANS[text.lower()]
    if isinstance(bare, inspect.IntType):
        digits = text.removeprefix("-")
        if quotes or not digits.isascii() or not digits.isdecimal() or len(digits) > 19:
            raise Mismatch(_expected(choice), found=quotes)
        number = int(text)
        if (bare.ge is not None and number < bare.ge) or (bare.le is not None and number > bare.le):
            raise Mismatch(_expected(choice))
        return number
    raise Mismatch(_expected(choice))


def _resolved(text: str, is_plain: bool) -> Any:
    """Read a scalar of free-form data as YAML's core schema has it."""
    if not is_plain:
        return text
    if text in NULLS:
        return None
    if text in {"true", "false"}:
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _plain(node: tree.Node, path: Path, walk: Walk) -> Any:
    """Build free-form data: dicts, lists and scalars."""
    anything = inspect.AnyType()
    if isinstance(node, tree.Mapping):
        return {key.text: _build(anything, value, (*path, key.text), walk) for key, value in node.items}
    assert isinstance(node, tree.Sequence)
    return [_build(anything, item, (*path, index), walk) for index, item in enumerate(node.items)]


def _log_config(text: str) -> dict[str, Any]:
    """Read the file that `--log-config` names. Raises Mismatch."""
    expected = "the path of a JSON, YAML or ini file for logging.config"
    walk = Walk(environ=None)
    try:
        is_json = text.lstrip().startswith("{")  # `penstock.run` takes the dictionary itself.
        if (
            not is_json
            and not text.endswith((".json", ".yaml", ".yml"))
            and (ini := read_ini(text)) is not None
        ):
            return ini
        root = tree.parse_tree(text.encode(), "log_config") if is_json else tree.read_tree(text)
        if not isinstance(root, tree.Mapping):
            raise Mismatch(expected)
        config: dict[str, Any] = _plain(root, (), walk)
    except ConfigError as error:
        raise Mismatch(expected, hint=str(error.problems[0])) from None
    return config


FILES = {"log_config": _log_config}


def _bare(wanted: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    if isinstance(wanted, inspect.Metadata):
        return wanted.type, wanted.extra or {}
    return wanted, {}


def _kinds(wanted: inspect.Type) -> set[str]:
    bare, extra = _bare(wanted)
    choices = bare.types if isinstance(bare, inspect.UnionType) else ()
    return {each["kind"] for each in (extra, *(_bare(each)[1] for each in choices)) if "kind" in each}


def _is_container(wanted: inspect.Type) -> bool:
    bare, _ = _bare(wanted)
    choices = bare.types if isinstance(bare, inspect.UnionType) else (bare,)
    return any(isinstance(_bare(each)[0], (inspect.StructType, inspect.VarTupleType)) for each in choices)


def _expected(wanted: inspect.Type) -> str:
    bare, extra = _bare(wanted)
    if "kind" in extra:
        return KINDS[extra["kind"]].expected
    if "file" in extra:
        return "a mapping or the path of a file"
    if isinstance(bare, inspect.UnionType):
        return listed(_expected(each) for each in bare.types if not isinstance(each, inspect.NoneType))
    if isinstance(bare, inspect.LiteralType):
        return listed(sorted((repr(each) for each in bare.values), key=str))
    if isinstance(bare, inspect.IntType):
        if bare.ge is not None and bare.le is not None:
            return f"an integer from {bare.ge} to {bare.le}"
        return "an integer"
    if isinstance(bare, inspect.StructType):
        absent = getattr(bare.cls, "ABSENT", ())
        names = [each.encode_name for each in bare.fields if each.encode_name not in absent]
        return f"a mapping with {listed(names)}"
    for of, words in _WORDS:
        if isinstance(bare, of):
            return words
    return "text"


_WORDS: tuple[tuple[type[inspect.Type], str], ...] = (
    (inspect.BoolType, "true or false"),
    (inspect.VarTupleType, "a list"),
    (inspect.FrozenSetType, "a list"),
    (inspect.DictType, "a mapping"),
    (inspect.AnyType, "a value"),
)
