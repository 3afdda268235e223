"""
The JSON Schema of the configuration file, made from the same records that read it.

For editors: durations and sizes are the strings that one writes, a `${VAR}` may
stand for any scalar, and defaults are shown as they would be typed.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from penstock.master.config.model import Config
from penstock.master.config.record import Record
from penstock.master.config.units import duration_text, size_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:penstock:schema:config"

# An editor cannot know what a variable will be.
VARIABLE = {
    "description": "Replaced by an environment variable: ${NAME} or ${NAME:-default}.",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
}
VARIABLE_REF = {"$ref": "#/$defs/Variable"}
NONE = {"const": "none"}

_ABOUT = ("description", "default")


def config_schema() -> dict[str, Any]:
    """Make the schema of the configuration file."""
    (root,), parts = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    absent = {cls.__name__: cls.ABSENT for cls in _records(Record)}
    written = {name: _record(part, absent.get(name, frozenset())) for name, part in parts.items()}
    written["Variable"] = VARIABLE
    return {
        "$schema": DIALECT,
        "$id": IDENTITY,
        "title": "Penstock configuration",
        "$ref": root["$ref"],
        "$defs": dict(sorted(written.items())),
    }


def schema_text() -> str:
    """Write the schema as a file."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False)


def _records(cls: type[Record]) -> Iterator[type[Record]]:
    for each in cls.__subclasses__():
        yield each
        yield from _records(each)


def _record(part: dict[str, Any], absent: Collection[str]) -> dict[str, Any]:
    properties = {key: _property(value) for key, value in part["properties"].items() if key not in absent}
    return part | {"properties": properties}


def _property(part: dict[str, Any]) -> dict[str, Any]:
    """Write a field: what may stand there, what it means, and its default as one would type it."""
    about = {key: part[key] for key in _ABOUT if key in part}
    value = {key: each for key, each in part.items() if key not in _ABOUT}
    choices = _choices(value)
    written = choices[0] if len(choices) == 1 else {"anyOf": choices}
    if "default" in about:
        about["default"] = _default(about["default"], part)
        # Left out where it is an empty record or nothing: its own fields have theirs.
        if about["default"] in (None, "") or isinstance(about["default"], (dict, list, tuple)):
            del about["default"]
    return about | written


def _choices(part: dict[str, Any]) -> list[dict[str, Any]]:
    """List everything that may be written for a value, each once."""
    if "x-written" in part:
        return _choices(part["x-written"])
    found: list[dict[str, Any]] = []
    if "anyOf" in part:
        for each in part["anyOf"]:
            found += _choices(each)
        if {"type": "null"} in found:
            found.append(NONE)
    elif part.get("type") == "array":
        found.append(part | {"items": _property(part["items"])})
    elif part.get("additionalProperties"):
        # Keys are words of the file; no variable is replaced in them.
        names = {"propertyNames": part["propertyNames"]["x-written"]} if "propertyNames" in part else {}
        found.append(part | names | {"additionalProperties": _property(part["additionalProperties"])})
    else:
        found.append(part)
        if part != {"type": "null"} and "$ref" not in part and not _takes_any_text(part):
            found.append(VARIABLE_REF)
    # Each once, and what a variable may be last.
    once = {json.dumps(each, sort_keys=True): each for each in found}
    return sorted(once.values(), key=lambda each: each == VARIABLE_REF)


def _takes_any_text(part: dict[str, Any]) -> bool:
    types = part.get("type", ())
    return ("string" in types if isinstance(types, list) else types == "string") and "pattern" not in part


def _default(default: Any, part: dict[str, Any]) -> Any:
    kinds = [each.get("x-kind") for each in (part, *part.get("anyOf", ()))]
    if default is None:
        return None
    if "duration" in kinds:
        return duration_text(default)
    return size_text(default) if "size" in kinds else default
