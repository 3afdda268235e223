"""A master that has to be an init: what its workers leave behind becomes its child, as in a container."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app

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


def test_pid_1_of_a_namespace_obeys_its_signals(tmp_path: Path) -> None:
    """
    The kernel drops a signal to PID 1 that has no handler, so one before its time would be lost.
    """
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.getuid():
        unshare += ["--user", "--map-root-user"]
    process = subprocess.Popen(
        [
            *unshare,
            sys.executable,
            "-m",
            "penstock",
            "--port",
            "0",
            "--workers",
            "1",
            "--admin-bind",
            "none",
            "--control",
            str(tmp_path / "control.sock"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "listening on" in line:
                break
        assert "listening on" in "".join(seen[-1:]), "".join(seen)
        [master] = psutil.Process(process.pid).children()
        assert "NSpid:" in Path(f"/proc/{master.pid}/status").read_text()
        master.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.communicate()
