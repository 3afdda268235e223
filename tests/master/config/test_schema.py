"""The published schema, and the example that ships with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from penstock.master.config import Config, Invocation
from penstock.master.config.options import OPTIONS
from penstock.master.config.record import Record
from penstock.master.config.schema import config_schema, schema_text

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "etc" / "penstock.yaml"


def allowed(schema: Any, value: Any, defs: dict[str, Any]) -> bool:
    """Judge a value by the part of JSON Schema that ours uses; an unknown word is a failure."""
    known = {
        "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "items",
        "maxLength", "maximum", "minItems", "minLength", "minimum", "pattern", "properties",
        "propertyNames", "required", "title", "type", "uniqueItems",
    }  # fmt: skip
    assert set(schema) <= known, set(schema) - known
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    wanted = schema.get("type", [])
    kinds = wanted if isinstance(wanted, list) else [wanted]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    tests = [
        "$ref" not in schema or allowed(defs[schema["$ref"].rpartition("/")[2]], value, defs),
        "anyOf" not in schema or any(allowed(each, value, defs) for each in schema["anyOf"]),
        "const" not in schema or value == schema["const"],
        "enum" not in schema or value in schema["enum"],
        not kinds
        or any(
            is_number if kind in {"integer", "number"} else isinstance(value, types[kind]) for kind in kinds
        ),
    ]
    if isinstance(value, str):
        tests.append(re.search(schema.get("pattern", ""), value) is not None)
        tests.append(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if is_number:
        tests.append(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        tests.append(len(value) >= schema.get("minItems", 0))
        tests += [allowed(schema.get("items", {}), item, defs) for item in value]
    if isinstance(value, dict):
        tests.append(set(schema.get("required", ())) <= set(value))
        others = schema.get("additionalProperties", True)
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, others)
            tests.append(inner is True or (inner is not False and allowed(inner, item, defs)))
    return all(tests)


def valid(document: Any) -> bool:
    schema = config_schema()
    return allowed(schema["$defs"]["Config"], document, schema["$defs"])


def example() -> Any:
    return yaml.safe_load(EXAMPLE.read_text())


def test_the_example_works_as_it_stands() -> None:
    """
    The first file that anybody tries.
    """
    reading = Invocation({"config": (str(EXAMPLE),)}).read({})

    assert reading.warnings == ()
    assert [each.bind for each in reading.config.listeners] == ["127.0.0.1:8000"]
    assert [each.label for each in reading.config.listeners[0].routes] == [
        "ping",
        "/robots.txt",
        "hidden",
        "app",
    ]


def test_the_example_is_valid_under_the_schema() -> None:
    """
    An editor with the schema must not complain about it.
    """
    assert valid(example())


@pytest.mark.parametrize("line", re.findall(r"^ *# (\w+: \S+)", EXAMPLE.read_text(), re.MULTILINE))
def test_what_the_example_has_commented_out_is_valid_too(line: str) -> None:
    """
    People take the comment sign away and expect it to work.
    """
    key, _, value = line.partition(": ")
    document = yaml.safe_load(f"{key}: {value}")
    defs = config_schema()["$defs"]

    assert any(
        key in part.get("properties", {}) and allowed(part["properties"][key], document[key], defs)
        for part in defs.values()
    )


GOOD = [
    {"workers": "auto"},
    {"workers": 4},
    {"workers": "${N:-auto}"},
    {"admin": "none"},
    {"admin": {"bind": "none"}},
    {"admin": {"bind": "127.0.0.1:${PORT}"}},
    {"drain_timeout": "500ms"},
    {"recycle": {"max_requests": 1000, "max_requests_jitter": 0, "lifetime": "1h", "max_rss": "512MiB"}},
    {"recycle": {"max_requests": "none", "lifetime": "none", "max_rss": "none"}},
    {"log": {"config": {"version": 1}}},
    {"log": {"config": "log.json"}},
    {"listeners": [{"bind": ":80", "uds_permissions": 0o660, "routes": [{"app": "a:b"}]}]},
    {
        "listeners": [
            {
                "bind": "[::]:80",
                "tls": {"certificates": [{"cert": "a", "key": "b"}], "min_version": 1.3},
                "limits": {"header_bytes": 4096, "body_bytes": "none"},
                "routes": [{"respond": {"headers": {"a": ["b", "c"], "d": 1}}}],
            }
        ]
    },
]
BAD = [
    {"workers": 0},
    {"workers": "many"},
    {"wrokers": 1},
    {"health": {}},
    {"drain_timeout": 30},
    {"recycle": {"max_requests": -1}},
    {"recycle": {"lifetime": 3600}},
    {"pin": "maybe"},
    {"listeners": []},
    {"listeners": [{"bind": ":80"}]},
    {"listeners": [{"bind": "80", "routes": [{"app": "a:b"}]}]},
    {"listeners": [{"bind": ":80", "routes": [{"app": "a"}]}]},
    {"listeners": [{"bind": ":80", "routes": [{"match": {"methods": ["get"]}, "app": "a:b"}]}]},
    {"listeners": [{"bind": ":80", "routes": [{"respond": {"headers": {"a": {}}}}]}]},
    {"log": {"level": "warn"}},
]


@pytest.mark.parametrize("document", GOOD, ids=json.dumps)
def test_what_the_loader_takes_the_schema_takes(document: dict[str, Any]) -> None:
    """
    Values as an editor sees them, after YAML.
    """
    assert valid(document)


@pytest.mark.parametrize("document", BAD, ids=json.dumps)
def test_what_the_loader_refuses_the_schema_refuses(document: dict[str, Any]) -> None:
    """
    The control of the test above.
    """
    assert not valid(document)


def test_the_schema_is_one_document_that_refers_to_nothing_outside() -> None:
    """
    Editors read it from a file, without a network.
    """
    text = schema_text()
    schema = json.loads(text)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Penstock configuration"
    references = set(re.findall(r'"\$ref": "([^"]*)"', text))
    assert references == {f"#/$defs/{name}" for name in schema["$defs"]}
    assert not re.search(r'"x-[a-z]+":', text)


def records(cls: type[Record] = Record) -> Iterator[type[Record]]:
    for each in cls.__subclasses__():
        yield each
        yield from records(each)


def test_every_key_is_described() -> None:
    """
    An editor shows it on hover.
    """
    for name, part in config_schema()["$defs"].items():
        assert part["description"], name
        for key, value in part.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


def test_no_key_is_both_built_and_yet_to_be_built() -> None:
    """
    Whoever builds one takes it off the list.
    """
    for record in records():
        keys = {each.encode_name for each in msgspec.structs.fields(record)}
        assert not keys & record.LATER, record


def test_defaults_are_written_as_one_would_type_them() -> None:
    """
    30.0 would be refused in the file.
    """
    defs = config_schema()["$defs"]

    assert defs["Config"]["properties"]["drain_timeout"]["default"] == "30s"
    assert defs["Limits"]["properties"]["header_bytes"]["default"] == "16KiB"
    assert defs["Config"]["properties"]["workers"]["default"] == Config().workers


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.path], ids=lambda option: option.name)
def test_every_option_sets_a_key_that_exists(option: Any) -> None:
    """
    The table of options and the records cannot drift apart.
    """
    defs = config_schema()["$defs"]
    part = defs["Config"]
    for step in option.path:
        if step == "*":
            continue
        part = part["properties"][step]
        text = json.dumps(part)
        inner = re.search(r'"#/\$defs/(?!Variable)(\w+)"', text)
        part = defs[inner[1]] if inner else part
