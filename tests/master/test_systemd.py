"""What the service manager is told, and when."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.master.systemd import (
    STATUS_CHARS_MAX,
    UNSENT_MAX,
    WATCHDOG_PERIOD_S_MIN,
    Announcer,
    Notifier,
    Situation,
)


def situation(
    *, has_served: bool = True, is_changing: bool = False, is_stopping: bool = False, text: str = "fine"
) -> Situation:
    return Situation(has_served=has_served, is_changing=is_changing, is_stopping=is_stopping, text=text)


def test_it_is_ready_once_every_worker_is() -> None:
    announcer = Announcer(resumes=False)
    assert announcer.tell(situation(has_served=False, text="starting")) == ["STATUS=starting"]
    assert announcer.tell(situation()) == ["READY=1\nSTATUS=fine"]
    assert announcer.tell(situation()) == []


def test_a_reload_lasts_from_the_order_until_nothing_is_under_way() -> None:
    announcer = Announcer(resumes=False)
    announcer.tell(situation())
    assert announcer.order(1_500_000) == ["RELOADING=1\nMONOTONIC_USEC=1500000"]
    assert announcer.tell(situation(is_changing=True)) == []
    # Whoever orders another one waits for an answer of its own.
    assert announcer.order(2_500_000) == ["RELOADING=1\nMONOTONIC_USEC=2500000"]
    assert announcer.tell(situation()) == ["READY=1"]


def test_a_reload_that_was_refused_is_over_with_the_reason() -> None:
    announcer = Announcer(resumes=False)
    announcer.tell(situation())
    announcer.order(1)
    assert announcer.tell(situation(text="last failure: x")) == ["READY=1\nSTATUS=last failure: x"]


def test_another_image_goes_on_with_the_reload_of_the_one_before() -> None:
    announcer = Announcer(resumes=True)
    assert announcer.tell(situation(is_changing=True)) == ["STATUS=fine"]
    assert announcer.tell(situation()) == ["READY=1"]


def test_nothing_is_ready_any_more_when_it_stops() -> None:
    announcer = Announcer(resumes=False)
    assert announcer.order(1) == []
    assert announcer.tell(situation(has_served=False, is_stopping=True)) == ["STOPPING=1\nSTATUS=fine"]
    assert announcer.order(2) == []
    assert announcer.tell(situation(is_stopping=True)) == []


def test_a_status_is_one_short_line() -> None:
    [words] = Announcer(resumes=False).tell(situation(has_served=False, text="a\nREADY=1\n" + "x" * 1000))
    assert words == "STATUS=a READY=1 " + "x" * (STATUS_CHARS_MAX - len("a READY=1 "))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5.0)
        yield sock


def test_nobody_else_finds_the_variables(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000", "KEPT": "1"}
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier:
        assert environ == {"KEPT": "1"}
        notifier.tell(situation())
        assert manager.recv(4096) == b"READY=1\nSTATUS=fine"


def test_signs_of_life_come_twice_in_the_watchdogs_time(manager: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier:
        notifier.tick(100.0)
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert notifier.deadline_s == 101.0
        notifier.tick(100.9)
        notifier.tick(101.0)
    assert manager.recv(4096) == b"WATCHDOG=1"
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "2000000"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "vsock:1:2", "WATCHDOG_USEC": "2000000"},
    ],
)
def test_a_watchdog_that_is_not_ours_is_left_alone(environ: dict[str, str]) -> None:
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier:
        assert notifier.deadline_s is None
        notifier.order()
        notifier.tell(situation())


def test_a_name_without_a_file_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")
        sock.settimeout(5.0)
        name = sock.getsockname()[1:].decode()
        with closing(Notifier.from_environ({"NOTIFY_SOCKET": f"@{name}"}, resumes=False)) as notifier:
            notifier.tell(situation())
        assert sock.recv(4096) == b"READY=1\nSTATUS=fine"


def test_what_a_full_socket_does_not_take_is_said_later(manager: socket.socket) -> None:
    """
    A service manager that missed READY=1 would wait for it until it ends the service.
    """
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000"}
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier, closing(crowd(manager)):
        notifier.tell(situation())
        notifier.tick(100.0)
        notifier.order()
        while (heard := manager.recv(4096)) == b"X=1":
            notifier.tell(situation(is_changing=True))
        assert heard == b"READY=1\nSTATUS=fine"
        notifier.tell(situation(is_changing=True))
        assert manager.recv(4096).startswith(b"RELOADING=1\n")
        notifier.tell(situation())
        assert manager.recv(4096) == b"READY=1"


def crowd(manager: socket.socket) -> socket.socket:
    """Fill the service manager's queue."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            sock.sendto(b"X=1", manager.getsockname())
    except BlockingIOError:
        return sock


def test_what_waits_for_a_full_socket_has_a_limit(manager: socket.socket) -> None:
    """
    What is newest counts, and of the texts only the last.
    """
    environ = {"NOTIFY_SOCKET": manager.getsockname()}
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier, closing(crowd(manager)):
        notifier.tell(situation())
        for number in range(2 * UNSENT_MAX):
            notifier.order()
            notifier.tell(situation(text="done"))
            notifier.tell(situation(text=str(number)))
            notifier.tell(situation(text=f"{number}, and more"))
        heard: list[bytes] = []
        while not heard or not heard[-1].endswith(b" and more") or len(heard) < UNSENT_MAX:
            notifier.tell(situation(text=f"{2 * UNSENT_MAX - 1}, and more"))
            if (message := manager.recv(4096)) != b"X=1":
                heard.append(message)
    assert len(heard) == UNSENT_MAX
    assert heard[-2:] == [b"READY=1\nSTATUS=done", b"STATUS=%d, and more" % (2 * UNSENT_MAX - 1)]


def test_an_absurd_watchdog_does_not_keep_the_master_busy(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1"}
    with closing(Notifier.from_environ(environ, resumes=False)) as notifier:
        notifier.tick(100.0)
        assert notifier.deadline_s == 100.0 + WATCHDOG_PERIOD_S_MIN
