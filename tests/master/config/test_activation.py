"""Sockets that the service manager has opened."""

import os
from pathlib import Path

import pytest

from penstock.master.config.activation import (
    SOCKETS_MAX,
    claim_sockets,
    disclaim_sockets,
    inherited_fds,
    named_fds,
    socket_names,
)
from penstock.master.config.invocation import Invocation
from penstock.master.config.problems import ConfigError

OURS = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "fds"),
    [
        ({"LISTEN_PID": OURS, "LISTEN_FDS": "2"}, [3, 4]),
        ({"LISTEN_PID": OURS, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}, [3]),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({"LISTEN_PID": OURS, "LISTEN_FDS": "0"}, []),
        ({"LISTEN_PID": OURS, "LISTEN_FDS": "-1"}, []),
        ({"LISTEN_PID": OURS, "LISTEN_FDS": "many"}, []),
        ({"LISTEN_PID": OURS, "LISTEN_FDS": str(SOCKETS_MAX + 1)}, []),
        ({}, []),
    ],
)
def test_what_came_for_us_is_ours_and_nobody_else_is_told(environ: dict[str, str], fds: list[int]) -> None:
    claim_sockets(environ)
    assert list(inherited_fds(environ)) == fds
    assert not [name for name in environ if name.startswith("LISTEN_")]
    # The environment is handed on at a hot restart, where they are claimed once more.
    claim_sockets(environ)
    assert list(inherited_fds(environ)) == fds


def test_sockets_have_the_names_that_the_service_manager_gave_them() -> None:
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:api:web"}
    claim_sockets(environ)
    assert named_fds(environ, "api") == [4]
    assert named_fds(environ, "web") == [3, 5]
    assert named_fds(environ, "admin") == []
    assert socket_names(environ) == ["api", "web"]


@pytest.mark.parametrize(("names", "known"), [("", []), ("web", ["web"]), ("a:b:c:d", ["a", "b"])])
def test_names_may_be_too_few_or_too_many(names: str, known: list[str]) -> None:
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "2", "LISTEN_FDNAMES": names}
    claim_sockets(environ)
    assert socket_names(environ) == known


def test_a_child_knows_of_no_sockets() -> None:
    """
    What an app starts may be another Penstock, whose descriptor 3 is something else.
    """
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:api", "KEPT": "1"}
    claim_sockets(environ)
    disclaim_sockets(environ)
    assert environ == {"KEPT": "1"}


def listening(*, app: str | None = "main:app", **variables: str) -> list[str]:
    environ = {"LISTEN_PID": OURS, **variables}
    claim_sockets(environ)
    return [str(each.address) for each in Invocation({}, app).load(environ).listeners]


def test_they_are_served_where_no_address_was_given() -> None:
    assert listening(LISTEN_FDS="1") == ["fd:3"]
    assert listening(LISTEN_FDS="2") == ["fd:3", "fd:4"]
    assert listening(LISTEN_FDS="1", app=None) == ["fd:3"]
    assert listening(LISTEN_FDS="1", PORT="5000") == ["fd:3"]


def test_an_address_that_was_given_wins() -> None:
    assert listening(LISTEN_FDS="1", PENSTOCK_BIND="127.0.0.1:9000") == ["127.0.0.1:9000"]


def test_one_address_of_a_file_is_not_two_sockets(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("listeners: [{name: web, bind: '127.0.0.1:8080', routes: [{app: 'main:app'}]}]\n")
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "1"}
    claim_sockets(environ)
    invocation = Invocation({"config": (str(path),)})
    assert [str(each.address) for each in invocation.load(environ).listeners] == ["fd:3"]
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "2"}
    claim_sockets(environ)
    with pytest.raises(ConfigError, match="LISTEN_FDS: found several addresses for the one listener"):
        invocation.load(environ)


def test_one_socket_is_not_two_listeners_under_two_names(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text(
        "listeners:\n"
        "  - {name: one, bind: 'fd:web', routes: [{app: 'main:app'}]}\n"
        "  - {name: two, bind: 'fd:3', routes: [{app: 'main:app'}]}\n"
    )
    environ = {"LISTEN_PID": OURS, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:api"}
    claim_sockets(environ)
    with pytest.raises(ConfigError, match=r"found 'fd:3', an address that overlaps that of listeners\[0\]"):
        Invocation({"config": (str(path),)}).load(environ)
