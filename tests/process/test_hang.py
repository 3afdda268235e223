"""Workers whose loop is blocked: who serves meanwhile, what is told of them, and how it ends."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import Server, wait_for, write_app
from tests.process.test_orders import order
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

# `/nap` blocks the loop until there is a file, `/wait` waits as it should, `/compute` blocks in C.
APP = """
import asyncio, hashlib, os, time

def nap():
    while not os.path.exists("go"):
        time.sleep(0.02)

async def linger():
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)

async def app(scope, receive, send):
    match scope["path"]:
        case "/nap":
            nap()
        case "/wait":
            await linger()
        case "/compute":
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)
    body = b"%d" % os.getpid()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
# Less, and a healthy worker on a busy machine is suspect as well.
SUSPECT = ("--timeout-worker-suspect", "1.2")
QUICK = ("--lifespan", "off", "--port", "0", *SUSPECT)


def states(status: dict[str, Any]) -> list[str]:
    return [worker["state"] for worker in status["workers"]]


def slots(status: dict[str, Any]) -> Counter[int | None]:
    """Count the shards by who accepts on them."""
    return Counter(shard["slot"] for shard in status["listeners"][0]["shards"])


def suspect_of(server: Server) -> dict[str, Any]:
    """Wait until there is one, and return it."""
    status = server.wait_status(lambda status: "suspect" in states(status), "a suspect")
    return next(worker for worker in status["workers"] if worker["state"] == "suspect")


@contextmanager
def asking(server: Server, target: str, count: int = 1) -> Iterator[list[socket.socket]]:
    """Ask on so many connections, and leave the answers for later."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(count)
        ]
        for client in clients:
            request = f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
            client.sendall(request.encode())
        yield clients


def answer(client: socket.socket) -> bytes:
    """Read a whole response and return its body; b"" when there was none."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received.partition(b"\r\n\r\n")[2]


def test_siblings_serve_while_a_worker_is_blocked_and_it_comes_back(start: Start, tmp_path: Path) -> None:
    """
    No new client waits behind somebody else's `time.sleep`; and whoever wrote that learns where it is.
    """
    write_app(tmp_path, APP)
    server = start("main:app", *QUICK, "--workers", "2").wait_serving()
    with asking(server, "/nap?token=secret") as (sleeper,):
        suspect = suspect_of(server)
        assert slots(server.status()) == {1 - suspect["slot"]: 8}
        assert server.metric("penstock_workers", state="suspect") == 1
        assert server.admin("/readyz")[0] == 200

        with asking(server, "/", 100) as clients:
            answers = {answer(client) for client in clients}

        assert answers == {b"%d" % worker["pid"] for worker in server.status()["workers"]} - {
            b"%d" % suspect["pid"]
        }
        assert "suspect" in states(server.status()), "it was to be blocked all along"
        (tmp_path / "go").touch()
        assert answer(sleeper) == b"%d" % suspect["pid"]
    server.wait_status(
        lambda status: states(status) == ["ready", "ready"] and slots(status) == {0: 4, 1: 4},
        "its shards to come back",
    )
    output = server.output()
    assert output.count("what it is doing") == 1
    assert output.count("suspect: its loop has not turned") == 1
    assert output.count("its loop turns again; it was blocked for") == 1
    assert "in nap" in output
    assert "GET /nap, " in output
    assert "no response yet, running now" in output
    assert "secret" not in output
    assert server.status()["worker_restarts"] == {}


@pytest.mark.parametrize("bind", ["tcp", "unix"])
def test_what_has_queued_up_on_a_stopped_worker_is_served(start: Start, tmp_path: Path, bind: str) -> None:
    """
    Connections in its accept queues belong to nobody yet, so its siblings take them.
    """
    write_app(tmp_path, APP)
    where = ("--uds", str(tmp_path / "s")) if bind == "unix" else ("--port", "0")
    server = start("main:app", "--lifespan", "off", *where, *SUSPECT, "--workers", "2").wait_serving()
    victim = server.status()["workers"][0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = []
        for _ in range(100):
            client = stack.enter_context(socket.socket(socket.AF_UNIX if bind == "unix" else socket.AF_INET))
            client.settimeout(30)
            client.connect(str(tmp_path / "s") if bind == "unix" else ("127.0.0.1", server.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            clients.append(client)

        answers = Counter(answer(client) for client in clients)

    assert answers.total() == 100
    assert len(answers) == 1
    assert b"%d" % victim not in answers
    assert suspect_of(server)["pid"] == victim
    wait_for(lambda: "the process is stopped (state T)" in server.output(), "the reason")
    os.kill(victim, signal.SIGCONT)
    server.wait_status(lambda status: states(status) == ["ready", "ready"], "its recovery")


def test_lone_worker_keeps_its_shards_and_is_replaced_in_time(start: Start, tmp_path: Path) -> None:
    """
    There is nobody to take them, until its successor serves; what has queued up waits for that.
    """
    write_app(tmp_path, APP)
    server = start("main:app", *QUICK, "--workers", "1", "--timeout", "2").wait_serving()
    victim = server.status()["workers"][0]["pid"]
    with asking(server, "/nap") as (sleeper,):
        suspect_of(server)
        assert slots(server.status()) == {0: 8}
        with asking(server, "/", 50) as clients:
            answers = {answer(client) for client in clients}
        assert len(answers) == 1
        assert answers.isdisjoint({b"", b"%d" % victim})
        assert answer(sleeper) == b"", "it was killed with its worker"
    status = server.wait_status(lambda status: status["worker_restarts"], "its end")
    assert status["worker_restarts"] == {"timeout": 1}
    server.wait_status(lambda status: states(status) == ["ready"], "its successor")
    assert "to be replaced: timeout" in server.output()
    assert "killed: it is still blocked" in server.output()


def test_hung_worker_that_recovers_beside_its_successor_drains(start: Start, tmp_path: Path) -> None:
    """
    What it has in flight is answered after all.
    """
    write_app(tmp_path, "import os, time\nwhile os.path.exists('hold'): time.sleep(0.02)\n" + APP)
    server = start("main:app", *QUICK, "--workers", "1", "--timeout", "1").wait_serving()
    (tmp_path / "hold").touch()
    with asking(server, "/nap") as (sleeper,):
        server.wait_status(lambda status: states(status) == ["suspect", "starting"], "a successor")
        (tmp_path / "go").touch()
        assert answer(sleeper)
    (tmp_path / "hold").unlink()
    status = server.wait_status(lambda status: status["worker_restarts"], "its end")
    assert status["worker_restarts"] == {"timeout": 1}
    assert "killed" not in server.output()


def test_long_import_and_startup_are_not_suspect(start: Start, tmp_path: Path) -> None:
    """
    A worker that boots has no loop yet that could turn.
    """
    slow = "import time\ntime.sleep(1.6)\n"
    startup = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        time.sleep(1.6)
        await send({"type": "lifespan.startup.complete"})
        await receive()
"""
    write_app(tmp_path, slow + startup)
    server = start("main:app", "--port", "0", "--workers", "1", *SUSPECT).wait_serving()
    assert order(server, "reload").returncode == 0

    assert "suspect" not in server.output()


def test_everybody_stopped_together_makes_nobody_suspect(start: Start) -> None:
    """
    A terminal's Ctrl-Z, a frozen container: the master knows nothing of that time.
    """
    server = start("--port", "0", "--workers", "2", *SUSPECT).wait_serving()
    workers = [worker["pid"] for worker in server.status()["workers"]]
    stamped = server.status()["workers"][0]["age_s"]
    for pid in (server.pid, *workers):
        os.kill(pid, signal.SIGSTOP)
    # The admin process tells the time.
    server.wait_status(lambda status: status["workers"][0]["age_s"] > stamped + 2.0, "time to pass")
    for pid in (server.pid, *workers):
        os.kill(pid, signal.SIGCONT)

    server.get("/whoami")
    stamped = server.status()["workers"][0]["age_s"]
    server.wait_status(lambda status: status["workers"][0]["age_s"] > stamped + 1.0, "several beats")
    assert "suspect" not in server.output()


def test_switched_off_it_is_only_late(start: Start, tmp_path: Path) -> None:
    """
    As the operator wants it.
    """
    write_app(tmp_path, APP)
    server = start(
        "main:app", "--lifespan", "off", "--port", "0", "--workers", "2",
        "--timeout-worker-suspect", "0", "--timeout", "0",
    ).wait_serving()  # fmt: skip
    with asking(server, "/nap") as (sleeper,):
        server.wait_status(
            lambda status: max(worker["loop_lag_s"] for worker in status["workers"]) > 1.0, "a late loop"
        )
        assert states(server.status()) == ["ready", "ready"]
        (tmp_path / "go").touch()
        assert answer(sleeper)


def test_suspect_stays_one_through_a_hot_restart(start: Start, tmp_path: Path) -> None:
    """
    The new code must not lend it shards first, and can still ask it what it is doing.
    """
    write_app(tmp_path, APP)
    server = start("main:app", *QUICK, "--workers", "2", "--timeout-graceful-shutdown", "30").wait_serving()
    with asking(server, "/nap") as (sleeper,):
        suspect = suspect_of(server)
        server.signal(signal.SIGUSR2)
        server.wait_status(
            lambda status: Counter(states(status)) == {"ready": 2, "draining": 1}, "the new generation"
        )
        shown = order(server, "stacks", str(suspect["slot"]))
        assert f"worker {suspect['pid']} (slot {suspect['slot']}), generation 1, draining" in shown.stdout
        assert "in nap" in shown.stdout
        (tmp_path / "go").touch()
        assert answer(sleeper) == b"%d" % suspect["pid"]
    server.wait_generation(2, workers=2)
    folder = Path(f"/proc/{server.pid}/fd")
    files = [str(fd.readlink()) for fd in folder.iterdir()]
    assert sum("penstock-stacks" in each for each in files) == 2


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/wait", ["GET /wait, ", "no response yet\n", "in linger", "process.py", " in _run\n"]),
        ("/nap", ["GET /nap, ", "running now", "in nap"]),
        ("/compute", ["Blocked in C code", "in app"]),
    ],
)
def test_stacks_of_a_worker(start: Start, tmp_path: Path, target: str, expected: list[str]) -> None:
    """
    Healthy or blocked, in Python or beyond it.
    """
    write_app(tmp_path, APP)
    server = start("main:app", *QUICK, "--workers", "1", "--timeout-worker-suspect", "0").wait_serving()
    with asking(server, target):
        server.wait_status(lambda status: connections(status, target), "the request")

        result = order(server, "stacks", "0")

    assert (result.returncode, result.stderr) == (0, "")
    assert "(slot 0), generation 1, ready:" in result.stdout
    assert b"in app" not in server.admin("/status")[1], "whoever may see the numbers may not see this"
    assert [words for words in expected if words not in result.stdout] == [], result.stdout


def connections(status: dict[str, Any], target: str) -> bool:
    """Whether the request has arrived, or blocks already."""
    (worker,) = status["workers"]
    return bool(worker["connections"] if target == "/wait" else worker["loop_lag_s"] > 0)


def test_stacks_of_a_stopped_and_of_a_booting_worker(start: Start, tmp_path: Path) -> None:
    """
    What can be told is told, and that is no failure.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    pid = server.status()["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    result = order(server, "stacks", "0")
    os.kill(pid, signal.SIGCONT)
    assert (result.returncode, result.stderr) == (0, "")
    assert "the process is stopped (state T)" in result.stdout

    write_app(tmp_path, "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n" + HELLO)
    server.signal(signal.SIGHUP)
    server.wait_status(lambda status: "starting" in states(status), "the boot")
    wait_for(
        lambda: 'main.py", line 2 in <module>' in order(server, "stacks", "0").stdout,
        "the import in the stacks",
    )
    (tmp_path / "go").touch()
    server.wait_generation(2, workers=1)


def test_stacks_of_nobody_is_an_error(start: Start) -> None:
    """
    In one line.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    result = order(server, "stacks", "7")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "penstock: stacks: slot 7 has no worker; there are slots 0 to 0\n"


def test_stacks_tell_why_a_server_does_not_stop(start: Start, tmp_path: Path) -> None:
    """
    The one order beside `drain` that is taken then.
    """
    write_app(tmp_path, APP)
    server = start("main:app", *QUICK, "--workers", "1").wait_serving()
    with asking(server, "/wait") as (client,):
        server.wait_status(lambda status: connections(status, "/wait"), "the request")
        server.signal(signal.SIGTERM)
        server.wait_status(lambda status: states(status) == ["draining"], "the drain")

        result = order(server, "stacks", "0")

        assert result.returncode == 0
        assert "GET /wait, " in result.stdout
        assert "in linger" in result.stdout
        (tmp_path / "go").touch()
        assert answer(client)
    assert server.wait_exit() == 0
