"""Where the control socket of a server is."""

from pathlib import Path

import pytest

from penstock.master.config import Config, Listener, control_directories, control_path, instance_name


def config(*binds: str, name: str | None = None, control: str | None = None) -> Config:
    listeners = tuple(Listener(bind=bind, routes=()) for bind in binds)
    return Config(name=name, control=control, listeners=listeners)


@pytest.mark.parametrize(
    ("uid", "environ", "expected"),
    [
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/penstock-80.sock"),
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/user/0/penstock-80.sock"),
        (0, {}, "/run/penstock/penstock-80.sock"),
        (1000, {}, "/tmp/penstock-1000/penstock-80.sock"),
        (1000, {"XDG_RUNTIME_DIR": ""}, "/tmp/penstock-1000/penstock-80.sock"),
        (1000, {"XDG_RUNTIME_DIR": "relative"}, "/tmp/penstock-1000/penstock-80.sock"),
    ],
)
def test_the_directory_depends_on_who_runs_it(uid: int, environ: dict[str, str], expected: str) -> None:
    """
    A directory that only its owner can write, in each case.
    """
    assert control_path(config(":80"), uid, environ) == Path(expected)


def test_a_path_that_was_given_is_taken() -> None:
    """
    Whatever it is.
    """
    assert control_path(config(":80", control="/x/y"), 0, {}) == Path("/x/y")


@pytest.mark.parametrize(
    ("of", "port", "expected"),
    [
        (config(":80", ":81", name="shop"), None, "shop"),
        (config("unix:/x", ":81"), None, "81"),
        (config(":0"), 34567, "34567"),
        (config(":0"), None, "0"),
        (config("unix:/run/web.sock"), None, "web"),
        (config("fd:3"), None, "fd3"),
    ],
)
def test_a_server_is_known_by_its_name_or_by_where_it_listens(
    of: Config, port: int | None, expected: str
) -> None:
    """
    Two servers of one user must not share a socket.
    """
    assert instance_name(of, port) == expected


def test_the_commands_look_wherever_a_server_of_the_user_may_be() -> None:
    """
    A service has no XDG_RUNTIME_DIR, and the shell that asks for its status has one.
    """
    with_shell = control_directories(0, {"XDG_RUNTIME_DIR": "/run/user/0"})
    as_service = control_directories(0, {})

    assert as_service[0] in with_shell
