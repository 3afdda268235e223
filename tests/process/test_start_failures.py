"""
What cannot start says why in one message, with the right status, and leaves nothing behind.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.process.harness import Server, free_port, run_penstock, write_app

Start = Callable[..., Server]

RAISES_AT_IMPORT = "raise RuntimeError('no database')\n"

LIFESPAN_FAILS = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the migrations did not run"})
"""


def assert_nothing_left(folder: Path, before: set[int]) -> None:
    """No socket file, no pidfile, no process that was not there before."""
    assert not [path for path in folder.iterdir() if path.is_socket() or path.suffix == ".pid"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected not to start."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    options = ["--control", str(folder / "control.sock"), "--pidfile", str(folder / "master.pid")]
    result = run_penstock(*arguments, *options, "--admin-bind", "127.0.0.1:0", "--workers", "2", cwd=folder)
    assert_nothing_left(folder, before)
    return result


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (None, "nowhere:app", "nowhere"),
        ("app = 3\n", "main:app", "main:app"),
        ("async def app(scope, receive, send): ...\n", "main:apq", "app"),
        (RAISES_AT_IMPORT, "main:app", "no database"),
        (LIFESPAN_FAILS, "main:app", "the migrations did not run"),
    ],
    ids=["no module", "not an app", "no attribute", "raises at import", "lifespan fails"],
)
def test_app_that_cannot_start_ends_the_master(
    tmp_path: Path, source: str | None, target: str, message: str
) -> None:
    """
    A first generation that cannot boot is an error of the start, told once, and not a crash loop.
    """
    if source is not None:
        write_app(tmp_path, source)

    result = run(tmp_path, target, "--port", "0")

    assert result.returncode == 3, result.stderr
    assert message in result.stderr
    assert result.stderr.count("could not start") == 1


def test_traceback_of_the_app_is_shown(tmp_path: Path) -> None:
    """
    Whoever has to mend the app sees the line that raised.
    """
    write_app(tmp_path, RAISES_AT_IMPORT)

    result = run(tmp_path, "main:app", "--port", "0")

    assert 'main.py", line 1' in result.stderr
    assert "RuntimeError: no database" in result.stderr


def test_address_in_use_names_its_owner(tmp_path: Path) -> None:
    """
    SO_REUSEPORT would hide it: half of the connections would go to the other server.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]

        result = run(tmp_path, "--port", str(port))

    assert result.returncode == 3
    assert f"127.0.0.1:{port}" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr


def test_second_master_on_the_same_address_is_refused(start: Start, tmp_path: Path) -> None:
    """
    The running one loses nothing.
    """
    first = start("--port", "0").wait_serving()
    folder = tmp_path / "second"
    folder.mkdir()

    result = run(folder, "--port", str(first.port))

    assert result.returncode == 3
    assert f"(pid {first.pid})" in result.stderr
    assert first.get("/whoami")[0] == 200


def test_privileged_port_without_the_right_is_explained(tmp_path: Path) -> None:
    """
    The message says what is missing, not just that it is.
    """
    result = run_penstock(
        *("--port", "80", "--control", str(tmp_path / "c.sock"), "--admin-bind", "none"),
        cwd=tmp_path,
        preexec_fn=give_up_privileged_ports,
    )

    assert result.returncode == 3
    assert "CAP_NET_BIND_SERVICE" in result.stderr


def give_up_privileged_ports() -> None:
    """Drop CAP_NET_BIND_SERVICE for what is executed next, which matters only to root."""
    pr_capbset_drop, cap_net_bind_service = 24, 10
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_net_bind_service)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wrokers", "2"], "--workers"),
        (["--workers", "0"], "--workers"),
        (["--port", "70000"], "port"),
        (["-c", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_usage_errors_exit_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    """
    A command that makes no sense is refused before anything is opened.
    """
    result = run_penstock(*arguments, cwd=tmp_path)

    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_config_tells_all_errors_and_starts_nothing(tmp_path: Path) -> None:
    """
    One round of mending is enough.
    """
    (tmp_path / "p.yaml").write_text("wrokers: 2\nlisteners:\n  - bind: 127.0.0.1:99999\n    routes: []\n")

    result = run(tmp_path, "-c", "p.yaml")

    assert result.returncode == 2
    assert "p.yaml:1:1" in result.stderr
    assert "workers" in result.stderr
    assert "p.yaml:3:" in result.stderr
    assert "p.yaml:4:" in result.stderr


def test_unreadable_certificate_is_a_config_error(tmp_path: Path) -> None:
    """
    Found when the config is read, not at the first handshake.
    """
    (tmp_path / "p.yaml").write_text(
        "listeners:\n"
        "  - bind: 127.0.0.1:0\n"
        "    tls: {certificates: [{cert: nowhere.crt, key: nowhere.key}]}\n"
        "    routes: [{respond: {status: 200}}]\n"
    )

    result = run(tmp_path, "-c", "p.yaml")

    assert result.returncode == 2
    assert "p.yaml:3:" in result.stderr
    assert "nowhere.crt" in result.stderr


def test_pidfile_of_a_running_master_is_respected(start: Start, tmp_path: Path) -> None:
    """
    Two masters on one pidfile would stop each other's service.
    """
    pidfile = tmp_path / "master.pid"
    first = start("--port", "0", "--pidfile", str(pidfile)).wait_serving()
    assert int(pidfile.read_text()) == first.pid

    result = run_penstock("--port", str(free_port()), "--pidfile", str(pidfile), cwd=tmp_path)

    assert result.returncode == 3
    assert str(first.pid) in result.stderr
    assert first.stop() == 0
    assert not pidfile.exists()
