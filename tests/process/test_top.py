"""`penstock top` in a real terminal, beside a real server."""

import os
import re
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.harness import Server, run_penstock, wait_for, write_app
from tests.process.terminal import Terminal
from tests.process.test_serving import HELLO
from tests.process.traffic import OneShotClients

Start = Callable[..., Server]
Open = Callable[..., Terminal]

TITLES = ["SLOT", "PID", "CORE", "STATE", "GEN", "CPU%", "RSS", "REQ/S", "P50", "P99", "LAG", "AGE"]

# Waits until its client goes.
PATIENT = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    while (await receive())["type"] != "http.disconnect":
        pass
"""


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Server:
    write_app(tmp_path, HELLO)
    return start("main:app", "--port", "0", "--workers", "2").wait_serving()


@pytest.fixture
def open_top(tmp_path: Path) -> Iterator[Open]:
    """Give a function that runs `penstock top` in a terminal."""
    terminals: list[Terminal] = []

    def open_terminal(server: Server, *words: str, **options: object) -> Terminal:
        command = [sys.executable, "-m", "penstock", "top", "--control", str(server.control), *words]
        terminal = Terminal(tmp_path, *command, **options)  # type: ignore[arg-type]
        terminals.append(terminal)
        return terminal

    yield open_terminal
    for terminal in terminals:
        terminal.close()


def workers(lines: list[str]) -> list[dict[str, str]]:
    """Read the table of workers off the screen, which may be half drawn."""
    heading = next((index for index, line in enumerate(lines) if line.startswith("SLOT ")), len(lines) - 1)
    titles = lines[heading].split()
    rows = []
    for line in lines[heading + 1 :]:
        if not re.match(r" +\d+ ", line):
            break
        if len(line.split()) == len(titles):
            rows.append(dict(zip(titles, line.split(), strict=True)))
    return rows


def pids(server: Server) -> list[str]:
    return [str(worker["pid"]) for worker in server.status()["workers"]]


def test_a_running_server_is_seen_in_terminals_of_every_size(server: Server, open_top: Open) -> None:
    """
    At 80 by 24 the essentials are there without a wrapped line, and a change of size is followed at once.
    """
    with OneShotClients(server.port, rate=50) as clients:
        terminal = open_top(server, "--interval", "200ms")
        lines = terminal.wait_text(" q quit", "LISTENER")
        assert len(lines) == 24
        assert lines[0].startswith(f"penstock {server.port} ")
        assert "running  generation 1  up " in lines[0]
        assert [row["PID"] for row in workers(lines)] == pids(server)
        assert {row["STATE"] for row in workers(lines)} == {"ready"}
        assert set(TITLES) <= set(workers(lines)[0])
        assert lines[23].startswith(" q quit  s sort: slot")
        wait_for(lambda: re.match(r" +[1-9]\S* req/s", terminal.lines()[1]), "requests by the second")
        wait_for(lambda: any(row["REQ/S"] not in "-0" for row in workers(terminal.lines())), "a worker's own")

        for width, height, titles in (
            (120, 40, set(TITLES)),
            (60, 15, {"PID", "CPU%", "REQ/S"}),
            (40, 10, {"CPU%"}),
        ):
            terminal.resize(width, height)
            wait_for(lambda: len(terminal.lines()[-1]) and "every" in terminal.lines()[-1], "the last line")
            wait_for(lambda: len(terminal.lines()) == height, "the new height")  # noqa: B023
            lines = terminal.wait_text("SLOT", "LISTENER" if height > 12 else "STATE")
            assert titles <= set(workers(lines)[0])
            assert len(workers(lines)) == 2

        for width, height in ((3, 3), (1, 1), (80, 24)):
            terminal.resize(width, height)
        terminal.wait_text("LISTENER", " q quit")
        terminal.press("q")
        assert terminal.wait_end() == 0
    assert set(clients.outcomes) == {"200"}


def test_keys_change_the_view(server: Server, open_top: Open) -> None:
    """
    Sorting, a pause, and the help.
    """
    terminal = open_top(server, "--interval", "100ms")
    terminal.wait_text("sort: slot")
    terminal.press("s")
    terminal.wait_text("sort: cpu")
    terminal.press("S")
    terminal.wait_text("sort: slot")
    terminal.press("?")
    terminal.wait_text("quit, as do Esc and Ctrl-C")
    terminal.press("?")
    terminal.wait_text("LISTENER")
    terminal.press("Down")  # Begins as Escape does, and must not quit.
    terminal.press("p")
    terminal.wait_text("PAUSED")
    server.signal(signal.SIGTTIN)
    server.wait_generation(1, workers=3)
    assert len(workers(terminal.lines())) == 2
    terminal.press("p")
    wait_for(lambda: len(workers(terminal.lines())) == 3, "the third worker")
    terminal.press("Escape")
    assert terminal.wait_end() == 0


@pytest.mark.parametrize("key", ["C-c", "Q"])
def test_it_ends_as_one_expects(server: Server, open_top: Open, key: str) -> None:
    """
    And the terminal is as it was.
    """
    terminal = open_top(server)
    terminal.wait_text("LISTENER")
    terminal.press(key)

    assert terminal.wait_end() == 0


def test_it_stays_through_a_hot_restart(server: Server, open_top: Open) -> None:
    """
    The process that answered it is replaced, and so are all workers.
    """
    terminal = open_top(server, "--interval", "100ms")
    terminal.wait_text("generation 1")
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=2)
    terminal.wait_text("generation 2", "running")

    def is_new() -> bool:
        return [row["PID"] for row in workers(terminal.lines())] == pids(server)

    wait_for(is_new, "the new workers")
    assert "no answer" not in terminal.text()
    terminal.press("q")
    assert terminal.wait_end() == 0


def test_a_master_that_dies_is_told_and_waited_for(server: Server, open_top: Open, start: Start) -> None:
    """
    Somebody looks exactly then, and sees the next one come.
    """
    terminal = open_top(server, "--interval", "100ms")
    terminal.wait_text(f"pid {server.pid}")
    server.clean_up()
    lines = terminal.wait_text("no answer for ", "asking again: nobody listens there any more")
    assert lines[0].startswith("no answer for ")
    assert f"pid {server.pid}" in lines[1]

    successor = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    lines = terminal.wait_text(f"pid {successor.pid}")
    wait_for(lambda: "no answer" not in terminal.text(), "the answer")
    wait_for(lambda: [row["PID"] for row in workers(terminal.lines())] == pids(successor), "its worker")
    terminal.press("q")
    assert terminal.wait_end() == 0


def test_keys_work_while_nobody_answers(server: Server, open_top: Open) -> None:
    """
    An answer may take seconds to fail; the help and the way out may not.
    """
    terminal = open_top(server, "--interval", "100ms")
    terminal.wait_text("LISTENER")
    os.kill(server.status()["admin"]["pid"], signal.SIGSTOP)
    terminal.press("?")
    terminal.wait_text("quit, as do Esc and Ctrl-C")
    terminal.press("q")
    assert terminal.wait_end() == 0


def test_the_slowest_requests_in_flight_are_named(start: Start, open_top: Open, tmp_path: Path) -> None:
    """
    What is everybody waiting for? The oldest stands first, and goes when it has ended.
    """
    write_app(tmp_path, PATIENT)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    terminal = open_top(server, "--interval", "100ms")
    terminal.wait_text("requests in flight: none")
    clients = []
    for path in ("/slow?token=1", "/slow"):
        client = socket.create_connection(("127.0.0.1", server.port))
        clients.append(client)
        client.sendall(b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n" % path.encode())
        lines = terminal.wait_text("SLOWEST REQUESTS IN FLIGHT", "POST    /slow")
    wait_for(lambda: terminal.text().count("POST    /slow") == 2, "both requests")
    assert "token" not in terminal.text()
    heading = next(index for index, line in enumerate(lines) if "SLOWEST" in line)
    assert lines[heading].split()[:5] == ["AGE", "SLOT", "STATE", "SENT", "METHOD"]
    for client in clients:
        client.close()
    terminal.wait_text("requests in flight: none")
    terminal.press("q")
    assert terminal.wait_end() == 0


def test_colours_are_for_those_who_want_them(server: Server, open_top: Open) -> None:
    """
    NO_COLOR is honoured; what a colour says, a word says too.
    """
    green = "\x1b[32m"
    for env, is_coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = open_top(server, env=env)
        terminal.wait_text("LISTENER")
        assert (green in terminal.styled()) is is_coloured
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_a_terminal_that_wraps_early_is_kept_from_it(server: Server, open_top: Open) -> None:
    """
    TERM=ansi has the cursor on the next line after the last cell, and tmux has not.
    """
    terminal = open_top(server, "--interval", "100ms", env={"TERM": "ansi"})
    wait_for(lambda: len(workers(terminal.lines())) == 2, "the workers")
    server.signal(signal.SIGTTIN)
    wait_for(lambda: len(workers(terminal.lines())) == 3, "the third worker")
    assert [line[:4] for line in terminal.lines() if line][2:3] == ["SLOT"]
    terminal.press("q")
    terminal.wait_text("status 0")


def test_a_terminal_that_cannot_be_drawn_on_gets_one_line(server: Server, open_top: Open) -> None:
    """
    With the way out in it.
    """
    for name, why in (("dumb", "cannot be drawn on"), ("no-such", "is not known here")):
        terminal = open_top(server, env={"TERM": name}, width=120)
        lines = terminal.wait_text("status 2")
        assert lines[1] == (
            f"penstock: top: the terminal TERM='{name}' {why}; `penstock top --once` prints one frame"
        )


@pytest.mark.parametrize("locale", ["C", "xx_YY.UTF-8"])
def test_once_in_a_pipe_is_plain_text(server: Server, tmp_path: Path, locale: str) -> None:
    """
    For scripts, and for `watch`; in a locale that is not there as well.
    """
    words = ["top", "--once", "--interval", "100ms", "--control", str(server.control)]
    result = run_penstock(*words, cwd=tmp_path, env={"LC_ALL": locale, "COLUMNS": "80"})

    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [row["PID"] for row in workers(lines)] == pids(server)
    assert max(map(len, lines)) <= 80
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout


def test_a_closed_terminal_ends_it(server: Server, open_top: Open, tmp_path: Path) -> None:
    """
    When the ssh connection breaks, nothing stays behind and asks on for ever.
    """
    pid_file = tmp_path / "top.pid"
    script = f"import os, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); "
    command = ["-c", script + "from penstock.master.cli import main; main()", "top"]
    terminal = Terminal(tmp_path, sys.executable, *command, "--control", str(server.control))
    try:
        terminal.wait_text("LISTENER")
        descriptor = os.pidfd_open(int(pid_file.read_text()))
    finally:
        terminal.close()
    try:
        ready = wait_for(lambda: _is_readable(descriptor), "its end")
        assert ready
    finally:
        os.close(descriptor)


def _is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])
