"""A master that has to be an init: what its workers leave behind becomes its child, as in a container."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, get, wait_for, write_app

Start = Callable[..., Server]

# Each request leaves a process behind whose parent is gone at once.
LITTER = """
import subprocess

async def app(scope, receive, send):
    command = "sleep 600 >/dev/null 2>&1 & echo $!"
    pid = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": pid})
"""

# PR_SET_CHILD_SUBREAPER: orphans among the descendants become this process's children, as PID 1's do.
SUBREAPER = """#!{python}
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
os.execv("{python}", ["{python}", *sys.argv[1:]])
"""


@pytest.fixture
def init(tmp_path: Path) -> str:
    program = tmp_path / "init"
    program.write_text(SUBREAPER.format(python=sys.executable))
    program.chmod(0o755)
    return str(program)


def test_strangers_are_reaped_and_change_nothing(start: Start, tmp_path: Path, init: str) -> None:
    write_app(tmp_path, LITTER)
    server = start("main:app", "--port", "0", "--workers", "2", executable=init).wait_serving()
    before = {worker["pid"] for worker in server.status()["workers"]}
    strangers = [int(server.get()[1]) for _ in range(4)]
    for pid in strangers:
        stranger = psutil.Process(pid)
        wait_for(partial(is_child, stranger, server.pid), "the master to be its parent")
        os.kill(pid, signal.SIGKILL)

    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in strangers), "the strangers to be reaped")

    assert {worker["pid"] for worker in server.status()["workers"]} == before
    assert server.status()["worker_restarts"] == {}


def is_child(process: psutil.Process, parent: int) -> bool:
    return process.ppid() == parent


def test_strangers_do_not_survive_a_hot_restart_as_zombies(start: Start, tmp_path: Path, init: str) -> None:
    write_app(tmp_path, LITTER)
    server = start("main:app", "--port", "0", "--workers", "1", executable=init).wait_serving()
    pid = int(server.get()[1])
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid), "the stranger to be reaped")
    zombies = [each for each in server.children() if each.status() == psutil.STATUS_ZOMBIE]
    assert zombies == []


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[psutil.Process]:
    """Start a server that is PID 1 of a namespace of its own; give what it is here."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.getuid():
        unshare += ["--user", "--map-root-user"]
    options = ["--port", "0", "--workers", "1", "--admin-bind", "none"]
    options += ["--control", str(tmp_path / "control.sock")]
    write_app(tmp_path, LITTER)
    with (tmp_path / "penstock.out").open("wb") as log:
        process = subprocess.Popen(
            [*unshare, sys.executable, "-m", "penstock", "main:app", *options],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        [master] = wait_for(lambda: psutil.Process(process.pid).children(), "the master")
        yield master
    finally:
        process.kill()
        process.wait()


def handles(process: psutil.Process, number: signal.Signals) -> bool:
    """Whether a signal sent now would not be lost: it is blocked, or has a handler."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    masks = [int(mask, 16) for mask in re.findall(r"^(?:SigBlk|SigCgt):\t(\w+)$", status, re.MULTILINE)]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_pid_1_of_a_namespace_obeys_its_signals(namespace: psutil.Process, tmp_path: Path) -> None:
    wait_for(lambda: "listening on" in (tmp_path / "penstock.out").read_text(), "the banner")
    namespace.send_signal(signal.SIGTERM)
    namespace.wait(DEADLINE_S)
    assert "stopped" in (tmp_path / "penstock.out").read_text()


def test_a_term_that_comes_while_pid_1_starts_is_obeyed(namespace: psutil.Process, tmp_path: Path) -> None:
    """
    The kernel drops a signal to PID 1 that has no handler yet.
    """
    wait_for(lambda: handles(namespace, signal.SIGTERM), "the signal to be kept")
    namespace.send_signal(signal.SIGTERM)
    namespace.wait(DEADLINE_S)
    assert "SIGTERM: draining" in (tmp_path / "penstock.out").read_text()


def test_what_workers_leave_behind_ends_with_pid_1(namespace: psutil.Process, tmp_path: Path) -> None:
    """
    The kernel ends a namespace with its init, so a container that stops leaves nothing behind.
    """
    output = tmp_path / "penstock.out"
    match = wait_for(lambda: re.search(r"listening on \S+:(\d+)", output.read_text()), "the banner")
    assert match is not None
    assert get(int(match[1]))[0] == 200
    strangers = [each for each in namespace.children(recursive=True) if each.name() == "sleep"]
    assert strangers

    namespace.send_signal(signal.SIGTERM)
    namespace.wait(DEADLINE_S)

    wait_for(lambda: not any(each.is_running() for each in strangers), "the strangers' end")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTTOU])
def test_an_order_that_comes_while_the_server_starts_does_not_end_it(
    start: Start, number: signal.Signals
) -> None:
    """
    By default such a signal does; a rotation of logs need not know when servers start.
    """
    server = start("--port", "0", "--workers", "1")
    wait_for(lambda: handles(psutil.Process(server.pid), number), "the signal to be kept")
    server.signal(number)
    server.wait_serving()
    assert server.get("/whoami")[0] == 200
    assert server.stop() == 0
