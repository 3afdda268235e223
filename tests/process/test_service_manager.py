"""What a service manager hears of a real server, and how a server says farewell."""

import http.client
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.master.operations import STOPPING
from tests.process.harness import DEADLINE_S, Server, run_penstock, wait_for, write_app

Start = Callable[..., Server]

HELLO = """
import os

assert "NOTIFY_SOCKET" not in os.environ  # Nor where it is only imported, as in the check of a hot restart.

async def app(scope, receive, send):
    seen = ",".join(name for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC") if name in os.environ)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": seen.encode()})
"""

HALF_A_DEPLOYMENT = """
import importlib
import os
import sys

if "_PENSTOCK_HANDOVER" in os.environ:
    raise ImportError("half a deployment")
here = sys.path.pop(0)
del sys.modules["msgspec"]
sys.modules["msgspec"] = importlib.import_module("msgspec")
sys.path.insert(0, here)
"""


class Manager:
    """Hears what systemd would."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(DEADLINE_S)
        self.environ = {"NOTIFY_SOCKET": str(path)}

    def wait(self, word: str) -> dict[str, str]:
        """Wait for a notification that sets this variable, or sets it to this."""
        while True:
            words = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())
            if word in words or any(f"{name}={value}" == word for name, value in words.items()):
                return words


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.sock.close()


def test_a_life_as_the_service_manager_hears_of_it(start: Start, tmp_path: Path, manager: Manager) -> None:
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2", env=manager.environ)
    assert manager.wait("READY=1")["STATUS"] == "serving on 2 workers, generation 1"
    server.wait_serving()
    # An app that found the socket would speak for the service.
    assert server.get() == (200, b"")

    server.signal(signal.SIGHUP)
    assert int(manager.wait("RELOADING=1")["MONOTONIC_USEC"]) > 0
    assert manager.wait("READY=1")["STATUS"] == "serving on 2 workers, generation 2"

    (tmp_path / "main.py").write_text("raise ImportError('half a file')")
    server.signal(signal.SIGHUP)
    manager.wait("RELOADING=1")
    said = manager.wait("READY=1")["STATUS"]
    assert said.startswith("serving on 2 workers, generation 2; last failure: generation 3 could not start")

    write_app(tmp_path, HELLO)
    server.signal(signal.SIGUSR2)
    manager.wait("RELOADING=1")
    assert manager.wait("READY=1")["STATUS"] == "serving on 2 workers, generation 4"
    assert server.get() == (200, b"")

    server.signal(signal.SIGTERM)
    assert manager.wait("STOPPING=1")["STATUS"] == "stopping"
    assert server.wait_exit() == 0


def test_a_reload_that_is_refused_ends_for_the_service_manager_too(
    start: Start, tmp_path: Path, manager: Manager
) -> None:
    write_app(tmp_path, HELLO)
    config = tmp_path / "penstock.yaml"
    config.write_text(
        "workers: 1\nlisteners:\n  - {name: web, bind: '127.0.0.1:0', routes: [{app: 'main:app'}]}\n"
    )
    server = start("-c", str(config), env=manager.environ).wait_serving()
    manager.wait("READY=1")
    config.write_text("wrokers: 1\n")

    server.signal(signal.SIGHUP)

    manager.wait("RELOADING=1")
    assert "wrokers" in manager.wait("READY=1")["STATUS"]


def test_signs_of_life_go_on_through_a_hot_restart_that_fails(
    start: Start, tmp_path: Path, manager: Manager
) -> None:
    """
    A service manager that hears none would end the workers that still serve.
    """
    write_app(tmp_path, HELLO)
    environ = {**manager.environ, "WATCHDOG_USEC": "200000"}
    server = start("main:app", "--port", "0", "--workers", "1", env=environ).wait_serving()
    manager.wait("WATCHDOG=1")
    write_app(tmp_path, HALF_A_DEPLOYMENT, "msgspec.py")

    server.signal(signal.SIGUSR2)
    while "did not start" not in manager.wait("STATUS")["STATUS"]:
        pass
    for _ in range(3):
        manager.wait("WATCHDOG=1")

    (tmp_path / "msgspec.py").unlink()
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    manager.wait("STATUS=serving on 1 worker, generation 2")
    manager.wait("WATCHDOG=1")


def test_another_processs_watchdog_is_not_fed(start: Start, tmp_path: Path, manager: Manager) -> None:
    environ = {**manager.environ, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}
    server = start("--port", "0", "--workers", "1", env=environ).wait_serving()
    server.signal(signal.SIGTERM)
    heard = []
    while "STOPPING" not in (words := manager.wait("STATUS")):
        heard.append(words)
    assert not any("WATCHDOG" in words for words in heard)


def test_a_server_that_is_to_stop_goes_on_accepting_for_a_while(start: Start) -> None:
    server = start("--port", "0", "--workers", "2", "--shutdown-delay", "60").wait_serving()
    assert server.admin("/readyz")[0] == 200

    server.signal(signal.SIGTERM)

    wait_for(lambda: server.admin("/readyz")[0] == 503, "not being ready")
    assert server.status()["master"]["state"] == "draining"
    for _ in range(10):
        assert server.get("/whoami")[0] == 200
    # It keeps connections, too: nothing drains yet.
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    for _ in range(2):
        client.request("GET", "/whoami")
        answer = client.getresponse()
        answer.read()
        assert answer.getheader("connection") is None
    client.close()

    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_during_the_delay_workers_are_replaced_and_orders_fail(start: Start) -> None:
    server = start("--port", "0", "--workers", "1", "--shutdown-delay", "600").wait_serving()
    [before] = [worker["pid"] for worker in server.status()["workers"]]
    server.signal(signal.SIGTERM)
    wait_for(lambda: server.admin("/readyz")[0] == 503, "not being ready")

    os.kill(before, signal.SIGKILL)
    status = server.wait_status(
        lambda status: (
            [worker["state"] for worker in status["workers"] if worker["pid"] != before] == ["ready"]
        ),
        "another worker",
    )
    assert server.get("/whoami")[0] == 200

    server.signal(signal.SIGHUP)
    server.signal(signal.SIGUSR2)
    status = server.wait_status(
        lambda status: {"reload", "upgrade"} <= {each["verb"] for each in status["operations"]},
        "both orders to be known",
    )
    reasons = {each["verb"]: each["reason"] for each in status["operations"] if each["verb"] != "drain"}
    assert reasons == {"reload": STOPPING, "upgrade": STOPPING}
    assert status["master"]["generation"] == 1
    server.signal(signal.SIGQUIT)
    assert server.wait_exit() == 0


def test_a_second_drain_does_not_wait_for_the_delay(start: Start, tmp_path: Path) -> None:
    """
    Unlike a second signal it finishes what is in flight.
    """
    server = start("--port", "0", "--workers", "1", "--shutdown-delay", "600").wait_serving()
    with ThreadPoolExecutor() as pool:
        drain = ("drain", "--control", str(server.control))
        first = pool.submit(run_penstock, *drain, cwd=tmp_path)
        wait_for(lambda: server.admin("/readyz")[0] == 503, "not being ready")
        assert server.get("/whoami")[0] == 200
        second = run_penstock(*drain, cwd=tmp_path)
        assert (second.returncode, second.stderr) == (0, "")
        assert first.result().returncode == 0
    assert server.wait_exit() == 0
    assert "at once" not in server.output().replace("once more stops at once", "")


def test_after_the_delay_it_drains(start: Start) -> None:
    server = start("--port", "0", "--workers", "1", "--shutdown-delay", "0.3").wait_serving()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "draining in 0.3 s" in server.output()


def test_nobody_waits_for_the_delay_at_the_keyboard(start: Start) -> None:
    server = start("--port", "0", "--workers", "1", "--shutdown-delay", "600").wait_serving()
    server.signal(signal.SIGINT)
    assert server.wait_exit() == 0
