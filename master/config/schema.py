"""
The JSON Schema of the configuration file, made from the same records that read it.

For editors: durations and sizes are the strings that one writes, any scalar
may be a `${VAR}`, and defaults are shown as they would be typed.
"""

import json
from typing import Any

import msgspec

from penstock.master.config.kinds import KINDS, VARIABLE_SCHEMA
from penstock.master.config.model import Config
from penstock.master.config.units import duration_text, size_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:penstock:schema:config"


def config_schema() -> dict[str, Any]:
    """Make the schema of the configuration file."""
    (root,), parts = msgspec.json.schema_components([Config])
    parts = {name: _written(part) for name, part in parts.items()}
    return {
        "$schema": DIALECT,
        "$id": IDENTITY,
        "title": "Penstock configuration",
        "$ref": root["$ref"],
        "$defs": dict(sorted(parts.items())),
    }


def schema_text() -> str:
    """Write the schema as a file."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False)


def _written(part: Any) -> Any:
    """Turn a schema of values into one of what is written for them."""
    if isinstance(part, list):
        return [_written(each) for each in part]
    if not isinstance(part, dict):
        return part
    if "properties" in part:
        return part | {"properties": {key: _property(value) for key, value in part["properties"].items()}}
    kept = {key: _written(value) for key, value in part.items() if not key.startswith("x-")}
    if "x-kind" in part:
        kind = KINDS[part["x-kind"]].schema
        kept = {key: kept[key] for key in ("description", "default") if key in kept}
        return kept | _or_variable({key: value for key, value in kind.items() if key not in kept})
    if "x-file" in part:
        return kept | {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]}
    if kept.get("type") in {"integer", "number", "boolean", "string"} or "enum" in kept:
        about = {key: kept.pop(key) for key in ("description", "default") if key in kept}
        return about | _or_variable(kept)
    if {"type": "null"} in kept.get("anyOf", ()):
        return kept | {"anyOf": [*kept["anyOf"], {"const": "none"}]}
    return kept


def _property(part: dict[str, Any]) -> dict[str, Any]:
    """Write a field; its default as one would type it, and not at all when it is an empty record."""
    default = part.get("default")
    kind = part.get("x-kind") or next(
        (each["x-kind"] for each in part.get("anyOf", ()) if "x-kind" in each), None
    )
    written: dict[str, Any] = _written({key: value for key, value in part.items() if key != "default"})
    if default is None or isinstance(default, (dict, list)):
        return written
    if kind == "duration":
        default = duration_text(default)
    elif kind == "size":
        default = size_text(default)
    return written | {"default": default}


def _or_variable(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "string" and not schema.keys() & {"pattern", "maxLength"}:
        return schema  # It takes a `${VAR}` as it is.
    return {"anyOf": [schema, VARIABLE_SCHEMA]}
