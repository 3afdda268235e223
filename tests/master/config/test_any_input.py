"""Whatever the bytes: a configuration or a ConfigError, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.master.call import texts_of
from penstock.master.config import Config, ConfigError, Invocation, Place
from penstock.master.config.judge import judge
from penstock.master.config.options import OPTIONS
from penstock.master.config.peers import ALIASES, EXCUSES, OURS, REFUSALS
from penstock.master.config.tree import parse_tree
from penstock.master.config.typed import Walk, build_config
from penstock.master.config.variables import substituted

EXAMPLE = (Path(__file__).parents[3] / "etc" / "penstock.yaml").read_bytes()

# No variable of the machine's, and one that is not set at all.
ENVIRON = {"A": "1", "EMPTY": "", "LIST": "[1, 2]", "LONG": "x" * 1000}

KEYS = [
    *(
        "workers",
        "pin",
        "drain_timeout",
        "worker_suspect_timeout",
        "worker_timeout",
        "admin",
        "bind",
        "control",
        "user",
        "log",
        "level",
        "path",
        "config",
    ),
    *(
        "listeners",
        "name",
        "protocol",
        "backlog",
        "uds_permissions",
        "tls",
        "certificates",
        "cert",
        "key",
        "limits",
    ),
    *(
        "header_bytes",
        "body_bytes",
        "header_timeout",
        "routes",
        "match",
        "host",
        "methods",
        "app",
        "respond",
        "status",
    ),
    *("headers", "body", "upstreams", "wrokers", "", "<<", "${A}", "é"),
]
SCALARS = [
    *(
        "auto",
        "none",
        "null",
        "~",
        "true",
        "no",
        "0",
        "-1",
        "4",
        "1e9",
        ".inf",
        "30s",
        "64KiB",
        "0660",
        "a:b",
        "'x'",
    ),
    *(
        ":80",
        "'[::]:80'",
        "unix:/x",
        "fd:3",
        "127.0.0.1:80",
        "/",
        "/x/",
        "'~(a'",
        "GET",
        "${A}",
        "${N}",
        "${N:-2}",
    ),
    *(
        '"${LIST}"',
        "${LONG}",
        "${EMPTY}",
        "${",
        "&x 1",
        "*x",
        "!!int 1",
        "|\n  text",
        ">-\n  more",
        "@",
        "é",
        '"\\0"',
        '"\\ud800"',
    ),
]


def load(data: bytes) -> Config | None:
    """Load as Invocation does, without a file in between; certificates and accounts are real."""
    walk = Walk(environ=ENVIRON)
    try:
        config = build_config(parse_tree(data, "f"), walk)
        judge(walk)
    except ConfigError as error:
        walk.problems += error.problems
        config = None
    for problem in walk.problems:
        assert isinstance(problem.place, Place)
        assert "\n" not in str(problem)
    assert walk.problems or config is not None
    return config


blocks = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=5).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200))
@example(b"\x00")
@example(b"%YAML 9.9\n---\na: 1")
@example(b"%TAG ! x\n--- !y z")
@example(b"? ")
@example(b"- &a [*a]")
@example(b"a: *a")
@example("\ufeff".encode())
@example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
@example(b"{a: 1}\n...\n{b: 2}")
def test_any_bytes(data: bytes) -> None:
    """
    What an operator points it at by mistake.
    """
    load(data)


@given(st.lists(st.tuples(st.sampled_from(KEYS), blocks), max_size=6))
def test_anything_that_looks_like_a_configuration(pairs: list[tuple[str, str]]) -> None:
    """
    The right words in the wrong places.
    """
    load("".join(f"{key}: {value}\n" for key, value in pairs).encode())


@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 40),
    st.one_of(st.binary(max_size=10), st.sampled_from(SCALARS + KEYS).map(str.encode)),
)
def test_a_good_file_with_one_place_changed(at: int, cut: int, put: bytes) -> None:
    """
    A slip of the hand anywhere.
    """
    load(EXAMPLE[:at] + put + EXAMPLE[at + cut :])


@given(st.integers(0, len(EXAMPLE)))
def test_a_good_file_cut_short(length: int) -> None:
    """
    A disk that was full, an upload that stopped.
    """
    load(EXAMPLE[:length])


@given(blocks)
def test_any_value_where_a_listener_or_a_route_is_wanted(block: str) -> None:
    """
    Deep inside a file that is otherwise good.
    """
    load(f"listeners: [{block}]\n".encode())
    load(f"listeners:\n  - bind: ':80'\n    routes: [{block}]\n".encode())
    load(f"log: {{config: {block}}}\nlisteners: [{{bind: ':80', routes: [{{app: 'a:b'}}]}}]\n".encode())


@given(st.text(max_size=60))
def test_any_text_as_a_value(text: str) -> None:
    """
    Through a variable, so that YAML has no say in it.
    """
    for key in ("workers", "drain_timeout", "name", "admin", "user", "lifespan", "root_path"):
        walk = Walk(environ={"X": text})
        build_config(parse_tree(f"{key}: ${{X}}\n".encode(), "f"), walk)
        judge(walk)
    for key in (
        "bind: ",
        "app: ",
        "match: {path: ",
        "match: {host: ",
        "limits: {body_bytes: ",
        "uds_permissions: ",
    ):
        walk = Walk(environ={"X": text})
        close = "}" if "{" in key else ""
        build_config(parse_tree(f"listeners: [{{{key}'${{X}}'{close}}}]\n".encode(), "f"), walk)
        judge(walk)
        walk = Walk(environ={"X": text})
        build_config(parse_tree(f"listeners: [{{routes: [{{{key}'${{X}}'{close}}}]}}]\n".encode(), "f"), walk)
        judge(walk)


@given(st.text(alphabet="$ {}AB:-x1", max_size=20))
def test_any_mixture_of_dollars_and_braces(text: str) -> None:
    """
    Replaced once, and what comes out is not looked at again.
    """
    try:
        replaced = substituted(text, {"A": "${B}", "B": ""})
    except ValueError:
        return
    if "${" not in text:
        assert replaced == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([each.name for each in OPTIONS if each.name != "chdir"]), st.text(max_size=30)
    )
)
def test_any_text_as_an_option(tmp_path: Path, options: dict[str, str]) -> None:
    """
    Values that a shell script has put together.
    """
    invocation = Invocation({name: (text,) for name, text in options.items()}, "a:b", str(tmp_path))
    try:
        invocation.read({})
    except ConfigError:
        return


@given(st.dictionaries(st.sampled_from([each.variable for each in OPTIONS]), st.text(max_size=30)))
def test_any_text_as_a_variable(environ: dict[str, str]) -> None:
    """
    As above, from an environment that another program made.
    """
    try:
        Invocation(app="a:b").read(dict(environ))
    except ConfigError:
        return


THEIRS = [flag for flag in (*ALIASES, *EXCUSES, *REFUSALS, *OURS) if flag.startswith("--")]


@given(
    st.dictionaries(
        st.sampled_from(["UVICORN_", "GRANIAN_"]).flatmap(
            lambda prefix: st.sampled_from(THEIRS).map(
                lambda flag: prefix + flag.removeprefix("--").replace("-", "_").upper()
            )
        ),
        st.text(max_size=30) | st.sampled_from(["true", "false", "1", "0"]),
    )
)
def test_any_text_as_a_variable_of_another_server(environ: dict[str, str]) -> None:
    """
    Those that were meant for them are in the same environment.
    """
    try:
        Invocation(app="a:b").read(dict(environ))
    except ConfigError:
        return


@given(
    st.lists(st.sampled_from([*THEIRS, "-w4", "-k", "-DR", "=", "'", "--", "-", "x:y"]) | st.text(max_size=8))
)
def test_any_words_as_gunicorns_variable(words: list[str]) -> None:
    """
    Split and taken, or told.
    """
    try:
        Invocation(app="a:b").read({"GUNICORN_CMD_ARGS": " ".join(words)})
    except ConfigError:
        return


@given(
    st.dictionaries(
        st.sampled_from([each.name for each in OPTIONS] + [each[2:].replace("-", "_") for each in THEIRS]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=9)
            | st.binary(max_size=9),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.text(max_size=3), inner) | st.tuples(inner, inner)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_value_as_a_keyword(options: dict[str, Any]) -> None:
    """
    A TypeError for the program, or text for the walk.
    """
    try:
        texts, _ = texts_of(options)
        Invocation(texts, "a:b", is_call=True).read({})
    except (TypeError, ConfigError):
        return


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "a:\n  ", '"', "'", "&a ", "? "])
def test_a_hundred_thousand_levels_do_not_exhaust_the_stack(
    opening: str, faults: Callable[..., list[str]]
) -> None:
    """
    Libyaml's own composer recurses in C; a file of one character repeated would end the process.
    """
    assert faults(opening * 100_000)
