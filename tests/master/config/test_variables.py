"""`${VAR}` in the values of a file."""

# ruff: noqa: E501 (a case is one line, however long: it is read against its neighbours)

from collections.abc import Callable

import pytest

from penstock.master.config import Reading

Load = Callable[..., Reading]
Faults = Callable[..., list[str]]

LISTENERS = "listeners: [{bind: ':80', routes: [{app: 'a:b'}]}]\n"


@pytest.mark.parametrize(
    ("text", "environ", "workers"),
    [
        ("workers: ${N}", {"N": "3"}, 3),
        ("workers: '${N}'", {"N": "3"}, 3),
        ("workers: ${N:-2}", {}, 2),
        ("workers: ${N:-2}", {"N": ""}, 2),
        ("workers: ${N:-2}", {"N": "4"}, 4),
        ("workers: ${A}${B}", {"A": "1", "B": "2"}, 12),
        ("workers: ${N:-auto}", {}, "auto"),
    ],
)
def test_a_variable_is_typed_as_if_it_had_been_written(
    load: Load, text: str, environ: dict[str, str], workers: int | str
) -> None:
    """
    `workers: ${N}` is a number, in quotes or without.
    """
    assert load(f"{text}\n{LISTENERS}", environ).config.workers == workers


def test_what_a_variable_holds_is_never_structure(load: Load) -> None:
    """
    A value with a colon, a quote or a newline stays one value.
    """
    nasty = "x\n  - {evil: 1} # ' \" ${OTHER} *a"
    body = (
        load("listeners: [{bind: ':80', routes: [{respond: {body: '<${BODY}>'}}]}]", {"BODY": nasty})
        .config.listeners[0]
        .routes[0]
        .respond
    )

    assert body is not None
    assert body.body == f"<{nasty}>"


def test_an_empty_variable_leaves_an_optional_value_out(load: Load) -> None:
    """
    `pidfile: ${PIDFILE:-}` is how one switches a thing on from outside.
    """
    text = f"pidfile: ${{PIDFILE:-}}\n{LISTENERS}"

    assert load(text).config.pidfile is None
    assert load(text, {"PIDFILE": "/x"}).config.pidfile == "/x"


def test_two_dollars_are_one(load: Load) -> None:
    """
    A way to write the two characters themselves.
    """
    text = "listeners: [{bind: ':80', routes: [{app: 'a:b', match: {path: '~^/a[$${]+$'}}]}]"

    assert load(text).config.listeners[0].routes[0].match.path == "~^/a[${]+$"


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("workers: ${N}", {}, "1:10: workers: found '${N}', expected the variable N to be set, or a default as in ${N:-value}"),
        ("workers: ${WORKRES}", {"WORKERS": "1"}, "1:10: workers: found '${WORKRES}', expected the variable WORKRES to be set, or a default as in ${WORKRES:-value}; did you mean 'WORKERS'?"),
        ("workers: ${N", {}, "1:10: workers: found '${N', expected ${NAME} or ${NAME:-default}; $${ stands for ${ itself"),
        ("workers: '${}'", {}, "1:10: workers: found '${}', expected ${NAME} or ${NAME:-default}"),
        ("workers: ${1X}", {}, "1:10: workers: found '${1X}', expected ${NAME} or ${NAME:-default}"),
        ("workers: ${A:-${B}}", {}, "1:10: workers: found '${A:-${B}}', expected ${NAME} or ${NAME:-default}"),
        ("workers: ${A-1}", {}, "1:10: workers: found '${A-1}', expected ${NAME} or ${NAME:-default}"),
        ("workers: ${N}", {"N": "x"}, "1:10: workers: found 'x' (from '${N}'), expected an integer from 1 to 1024 or 'auto'"),
        ("workers: ${N}", {"N": ""}, "1:10: workers: found nothing (from '${N}'), expected an integer from 1 to 1024 or 'auto'"),
        ("workers: ${N}", {"N": "1\n2"}, "1:10: workers: found '1\\n2' (from '${N}'), expected an integer"),
        ("pin: ${N}", {"N": "[true]"}, "1:6: pin: found '[true]' (from '${N}'), expected true or false"),
        ("name: ${N}", {"N": "x" * 70_000}, "1:7: name: found '${N}', expected a variable of at most 65536 characters"),
        ("${N}: 1", {"N": "workers"}, "1:1: ${N}: found the key '${N}', expected name"),
    ],
)  # fmt: skip
def test_a_variable_that_does_not_do_is_told_with_its_place(
    faults: Faults, text: str, environ: dict[str, str], told: str
) -> None:
    """
    The place in the file, the name of the variable, and what it held.
    """
    (found,) = faults(f"{text}\n{LISTENERS}", environ)

    assert found.startswith(told)
