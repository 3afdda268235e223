"""Every option of the servers that people switch from has a meaning here, and none is dropped in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.master.config.borrowed import borrow, flag_of, split_words, takes_value
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME
from penstock.master.config.peers import (
    ALIASES,
    EXCUSES,
    OURS,
    REFUSALS,
    Alias,
    meaning_of,
    spellings_of,
)

PEERS = [
    json.loads(file.read_text()) for file in sorted((Path(__file__).parents[2] / "peers").glob("*.json"))
]
OF_PEERS = [
    pytest.param(peer["name"], option, id=f"{peer['name']}:{option['flags'][0]}")
    for peer in PEERS
    for option in peer["options"]
]
# Options of which this server and ours differ in whether a value follows; both stand in docs/switching.md.
DIFFERENT = {"--access-log", "--ws", "--ssl-client-verify"}


def flags() -> set[str]:
    return {flag for peer in PEERS for option in peer["options"] for flag in option["flags"]}


@pytest.mark.parametrize(("peer", "option"), OF_PEERS)
def test_every_option_of_another_server_has_a_meaning(peer: str, option: dict[str, Any]) -> None:
    """
    It is ours or an alias of ours, or is accepted with a word, or is refused with a word.
    """
    for flag in option["flags"]:
        meaning = meaning_of(flag)
        assert meaning is not None, f"{peer} {flag} is to be judged in master/config/peers.py"
        if isinstance(meaning, Option | Alias) and flag not in DIFFERENT:
            assert takes_value(flag) == option["takes_value"], f"{peer} {flag}"


@pytest.mark.parametrize(("peer", "option"), OF_PEERS)
def test_every_variable_of_another_server_stands_for_its_option(peer: str, option: dict[str, Any]) -> None:
    """
    Most are named after it, but not all.
    """
    if "variable" in option:
        assert flag_of(option["variable"]) == option["flags"][0], peer


def test_no_meaning_is_kept_for_what_nobody_has() -> None:
    """
    The control: an option that a peer has dropped can go here too.
    """
    known = flags() | {"-k", "-D", "-R", "--paster"}
    assert {*ALIASES, *EXCUSES, *REFUSALS} <= known


def test_what_is_ours_by_name_needs_no_alias() -> None:
    """
    An alias that an option has itself by now would be said twice.
    """
    for flag, alias in ALIASES.items():
        if flag in OURS:
            assert alias.flag in OURS[flag].flags, f"{flag} has become another option"


def test_the_spellings_of_an_option_are_those_without_translation() -> None:
    """
    The others are translated by the command line itself.
    """
    assert "--timeout-worker-healthcheck" in spellings_of(BY_NAME["timeout"])
    assert "--no-log" not in spellings_of(BY_NAME["log_level"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-w 4 -b :80", {"workers": ("4",), "bind": (":80",)}),
        ("-w4 --bind=:80 --bind :81", {"workers": ("4",), "bind": (":80", ":81")}),
        ("--preload --no-access-log", {"preload": ("true",), "access_log": ("false",)}),
        ("--access-logformat '%(h)s \"%(r)s\"'", {"access_log_format": ('%(h)s "%(r)s"',)}),
        ("--workers 2 --workers 3", {"workers": ("3",)}),
        ("-e A=1 --env B=2", {"env": ("A=1", "B=2")}),
        ("--graceful-timeout 9 -k gthread", {"timeout_graceful_shutdown": ("9",)}),
        ("", {}),
    ],
)
def test_gunicorns_variable_is_split_as_a_command_line(
    text: str, expected: dict[str, tuple[str, ...]]
) -> None:
    """
    With the quotes of a shell.
    """
    found = borrow({"GUNICORN_CMD_ARGS": text})

    assert {name: texts for name, (texts, _) in found.texts.items()} == expected
    assert found.problems == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--daemon", "GUNICORN_CMD_ARGS: --daemon: Penstock stays in the foreground"),
        ("--wrokers 4", "GUNICORN_CMD_ARGS: --wrokers: there is no such option; did you mean '--workers'?"),
        ("--workers", "GUNICORN_CMD_ARGS: --workers: found no value, expected one"),
        ("--bind ':80", "GUNICORN_CMD_ARGS: cannot be split into words: No closing quotation"),
        ("--protocol uwsgi", "GUNICORN_CMD_ARGS: --protocol: found 'uwsgi': only HTTP is spoken"),
    ],
)
def test_what_gunicorns_variable_asks_for_in_vain_is_told(text: str, told: str) -> None:
    """
    By the name of the variable, since nobody has typed the option.
    """
    (problem,) = borrow({"GUNICORN_CMD_ARGS": text}).problems

    assert str(problem).startswith(told)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"UVICORN_HOST": "::1", "UVICORN_PORT": "1"}, {"host": ("::1",), "port": ("1",)}),
        ({"UVICORN_ACCESS_LOG": "no"}, {"access_log": ("false",)}),
        ({"UVICORN_FACTORY": "1"}, {"factory": ("true",)}),
        ({"UVICORN_HEADERS": "A:1 B:2"}, {"header": ("A:1", "B:2")}),
        ({"UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "9"}, {"timeout": ("9",)}),
        ({"GRANIAN_WORKERS_MAX_RSS": "512"}, {"workers_max_rss": ("512MiB",)}),
        ({"GRANIAN_HTTP1_HEADER_READ_TIMEOUT": "500"}, {"timeout_request_header": ("500ms",)}),
        ({"GRANIAN_HTTP1_KEEP_ALIVE": "false"}, {"timeout_keep_alive": ("0",)}),
        ({"GRANIAN_HTTP1_KEEP_ALIVE": "true"}, {}),
        ({"GRANIAN_LOG_ENABLED": "false"}, {"log_level": ("critical",)}),
        ({"GRANIAN_LOG_ACCESS_ENABLED": "true"}, {"access_log": ("true",)}),
        ({"GRANIAN_METRICS_ENABLED": "false"}, {"admin_bind": ("none",)}),
        ({"GRANIAN_PROCESS_NAME": "shop"}, {"name": ("shop",)}),
        ({"UVICORN_HOST": ""}, {}),
    ],
)
def test_variables_of_other_servers_are_read(
    environ: dict[str, str], expected: dict[str, tuple[str, ...]]
) -> None:
    """
    With their units, and their words for yes and no.
    """
    found = borrow(environ)

    assert {name: texts for name, (texts, _) in found.texts.items()} == expected
    assert found.problems == []


def test_what_was_read_is_said_once_with_our_names() -> None:
    """
    So that they are learnt, and the old ones can go.
    """
    found = borrow(
        {"UVICORN_HOST": "h", "UVICORN_LOOP": "asyncio", "UVICORN_NONSENSE": "1", "UVICORN_HTTP": "auto"}
    )

    assert found.notices == [
        "UVICORN_HOST is read; the names here are PENSTOCK_HOST",
        "UVICORN_LOOP: --loop asyncio has no meaning here",
        "UVICORN_NONSENSE has no meaning here and is ignored",
    ]


def test_words_are_split_with_flags_in_a_cluster() -> None:
    """
    As getopt has it.
    """
    assert list(split_words(["-DR", "-w=4", "app:app"])) == [
        ("-D", None),
        ("-R", None),
        ("-w", "4"),
        ("app:app", None),
    ]
