"""A real server, started and asked by the real command line."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the welcome service on any free port, with everything of its own below one directory."""
    (tmp_path / "p.yaml").write_text(
        "name: trial\nworkers: ${COUNT}\nadmin: none\nlisteners:\n"
        "  - {bind: '127.0.0.1:0', routes: [{app: 'penstock.worker.welcome:app'}]}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "-c", "p.yaml"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"COUNT": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.communicate(timeout=DEADLINE_S)


def environment(directory: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return inherited | {"XDG_RUNTIME_DIR": str(directory)}


def wait_for_words(process: subprocess.Popen[str], words: str) -> None:
    """Read what the server prints until it has said something."""
    assert process.stdout is not None
    give_up_s = time.monotonic() + DEADLINE_S
    said = ""
    while words not in said:
        readable, _, _ = select.select([process.stdout], [], [], give_up_s - time.monotonic())
        assert readable, said
        piece = os.read(process.stdout.fileno(), 4096).decode()
        assert piece, said
        said += piece


def test_a_running_server_tells_its_status(server: subprocess.Popen[str], tmp_path: Path) -> None:
    """
    Through the control socket that its name calls for, until it is stopped.
    """
    wait_for_words(server, "listening on")

    def status(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", "status", "--control", str(control), *words],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    (control,) = tmp_path.glob("penstock-*.sock")
    assert control.name == "penstock-trial.sock"
    answer = json.loads(status("--json").stdout)
    assert answer["master"]["pid"] == server.pid
    assert {worker["slot"] for worker in answer["workers"]} == {0, 1}
    table = status()
    assert table.returncode == 0, table.stderr
    assert str(server.pid) in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80

    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=DEADLINE_S) == 0
    assert status().returncode == 1
