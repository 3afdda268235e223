"""Programs that start the server by themselves, with `penstock.run`."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, _clean_environment, wait_for, write_app

Run = Callable[..., Server]

APP = """
import os
import penstock

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})

"""
CALL = """
if __name__ == "__main__":
    penstock.run(APP, port=0, workers=2, control="control.sock", admin_bind="127.0.0.1:0")
    print("the program goes on")
"""


def program(app: str = "app", version: str = "one", call: str = CALL) -> str:
    return (APP + call.replace("APP", app)).replace("VERSION", version)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start programs, as their users would, and end them."""
    servers: list[Server] = []

    def starting(*command: str, stdin: int = subprocess.DEVNULL) -> Server:
        server = object.__new__(Server)
        server.control = tmp_path / "control.sock"
        server.log_path = tmp_path / "program.out"
        server.log = server.log_path.open("wb")
        server.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=tmp_path,
            env=_clean_environment(),
            stdin=stdin,
            stdout=server.log,
            stderr=subprocess.STDOUT,
        )
        server.pid = server.process.pid
        server.port = server.admin_port = 0
        servers.append(server)
        return server

    yield starting
    for each in servers:
        each.clean_up()


@pytest.mark.parametrize("app", ["app", '"program:app"'], ids=["object", "import string"])
def test_a_program_serves_and_goes_on_when_it_is_stopped(run: Run, tmp_path: Path, app: str) -> None:
    """
    With several workers, though it gives an object: they are forked.
    """
    write_app(tmp_path, program(app), "program.py")
    server = run("program.py").wait_serving()

    assert server.get("/") == (200, b"one")
    assert len(server.wait_generation(1, workers=2)["workers"]) == 2
    assert server.stop() == 0
    assert server.output().endswith("the program goes on\n")


def test_a_hot_restart_starts_the_program_anew_and_a_reload_does_not(run: Run, tmp_path: Path) -> None:
    """
    What an object was made of cannot be imported again, and that is said.
    """
    write_app(tmp_path, program(), "program.py")
    server = run("program.py").wait_serving()
    write_app(tmp_path, program(version="two"), "program.py")

    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=2)
    assert server.get("/") == (200, b"one")
    assert "the app was given as an object" in server.output()

    server.signal(signal.SIGUSR2)
    server.wait_generation(3, workers=2)
    assert server.get("/") == (200, b"two")
    assert server.stop() == 0
    assert server.output().count("the program goes on") == 1


def test_a_reload_imports_an_import_string_again(run: Run, tmp_path: Path) -> None:
    """
    As with the command.
    """
    write_app(tmp_path, program('"program:app"'), "program.py")
    server = run("program.py").wait_serving()
    write_app(tmp_path, program('"program:app"', "two"), "program.py")

    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=2)
    assert server.get("/") == (200, b"two")


def test_a_program_that_is_no_file_says_that_it_cannot_be_started_again(run: Run) -> None:
    """
    `python -c`: it serves on.
    """
    server = run(
        "-c", program(call="penstock.run(app, port=0, workers=1, control='control.sock')")
    ).wait_serving()

    server.signal(signal.SIGUSR2)
    wait_for(lambda: "was not started from a file" in server.output(), "the reason")
    assert server.get("/") == (200, b"one")
    assert server.stop() == 0


def test_an_interrupt_ends_it_as_it_ends_the_command(run: Run, tmp_path: Path) -> None:
    """
    Ctrl-C: drained, and the program goes on.
    """
    write_app(tmp_path, program(), "program.py")
    server = run("program.py").wait_serving()

    server.signal(signal.SIGINT)
    assert server.wait_exit() == 0
    assert server.output().endswith("the program goes on\n")


def test_the_call_leaves_signals_as_they_were(run: Run, tmp_path: Path) -> None:
    """
    What the program does afterwards can be ended by a TERM again.
    """
    after = "\nprint('after', flush=True)\nimport signal\nsignal.pause()\n"
    write_app(tmp_path, program(call="penstock.run(app, port=0, workers=1)" + after), "program.py")
    server = run("program.py").wait_serving()

    server.signal(signal.SIGTERM)
    wait_for(lambda: server.output().endswith("after\n"), "the end of the call")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        ("penstock.run('nowhere:app', port=0)", 3, "no module named 'nowhere'"),
        ("penstock.run(app, port=TAKEN)", 3, "in use"),
        ("penstock.run(app, port=-1)", 2, "port=: found '-1', expected a port from 0 to 65535"),
        ("penstock.run(app, prot=1)", 1, "did you mean 'port'?"),
        (
            "penstock.run('program:app', port=0, workers=1)",
            3,
            'put the call under `if __name__ == "__main__":`',
        ),
        ("penstock.run(5, port=0, workers=1)", 3, "not an application"),
    ],
)
def test_what_does_not_start_ends_the_program_as_it_ends_the_command(
    run: Run, tmp_path: Path, call: str, status: int, told: str
) -> None:
    """
    SystemExit with the same status, and the same words.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        call = call.replace("TAKEN", str(taken.getsockname()[1]))
        write_app(tmp_path, program(call=call), "program.py")
        server = run("program.py")

        assert server.wait_exit(DEADLINE_S) == status, server.output()
    assert told in server.output()


def test_threads_that_stay_behind_are_told_of(run: Run, tmp_path: Path) -> None:
    """
    A fork takes along the thread alone that makes it.
    """
    call = (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()\n"
        "penstock.run(app, port=0, workers=1, control='control.sock')"
    )
    write_app(tmp_path, program(call=call), "program.py")
    server = run("program.py").wait_serving()

    assert "threads were started at import and do not run in the workers: poller" in server.output()
    assert os.getpid() != server.pid
