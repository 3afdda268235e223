"""`penstock reload`, `upgrade`, `scale` and `drain`, given to a real server by the real command line."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.harness import Server, run_penstock, wait_for, write_app
from tests.process.test_hot_restart import HALF_A_DEPLOYMENT
from tests.process.test_recycling import WAITS_FOR_GO
from tests.process.test_serving import HELLO
from tests.process.test_signals import SLOW

Start = Callable[..., Server]
GOOD = "workers: 1\nlisteners: [{bind: '127.0.0.1:0', routes: [{respond: {body: good}}]}]\n"
UNREADY = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


def order(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return run_penstock(words[0], "--control", str(server.control), *words[1:], cwd=server.control.parent)


@contextmanager
def going_on(folder: Path) -> Iterator[ThreadPoolExecutor]:
    """Give threads that can end whatever happens: nobody in them waits for a file `go` that does not come."""
    with ThreadPoolExecutor() as pool:
        try:
            yield pool
        finally:
            (folder / "go").touch()


def last_operation(status: dict[str, Any], verb: str) -> dict[str, Any]:
    return next((each for each in reversed(status["operations"]) if each["verb"] == verb), {})


def ended(server: Server, verb: str, state: str) -> dict[str, Any]:
    """Wait until the last operation of this kind has ended so."""
    return last_operation(
        server.wait_status(
            lambda status: last_operation(status, verb).get("state") == state, f"{verb} {state}"
        ),
        verb,
    )


def test_reload_ends_when_the_new_generation_serves(start: Start, tmp_path: Path) -> None:
    """
    A deployment script may go on after it.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, HELLO.replace("hello", "goodbye"))

    result = order(server, "reload")

    assert (result.returncode, result.stdout, result.stderr) == (0, "generation 2 serves\n", "")
    status = server.status()
    assert [worker["generation"] for worker in status["workers"]] == [2, 2]
    assert last_operation(status, "reload")["generation"] == 2
    assert server.get("/")[1].startswith(b"goodbye")


def test_reload_of_a_broken_file_fails_and_says_where(start: Start, tmp_path: Path) -> None:
    """
    The old one serves, and the script stops.
    """
    (tmp_path / "p.yaml").write_text(GOOD)
    server = start("-c", "p.yaml").wait_serving()
    (tmp_path / "p.yaml").write_text(GOOD.replace("workers: 1", "workers: many"))

    result = order(server, "reload")

    assert (result.returncode, result.stdout) == (1, "")
    assert "p.yaml:1:10" in result.stderr
    assert server.get("/") == (200, b"good")


@pytest.mark.parametrize(
    ("broken", "told"), [("raise RuntimeError('oops')", "oops"), (UNREADY, "no database")]
)
def test_reload_of_an_app_that_does_not_start_fails(
    start: Start, tmp_path: Path, broken: str, told: str
) -> None:
    """
    The roll is given up, and the reason is the worker's own.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, broken)

    result = order(server, "reload")

    assert (result.returncode, result.stdout) == (1, "")
    assert told in result.stderr
    assert server.get("/")[1].startswith(b"hello")


def test_upgrade_ends_when_the_new_code_serves(start: Start, tmp_path: Path) -> None:
    """
    Under the same PID; the process that was asked first is gone by then.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, HELLO.replace("hello", "goodbye"))

    result = order(server, "upgrade")

    assert (result.returncode, result.stdout, result.stderr) == (0, "generation 2 serves\n", "")
    status = server.status()
    assert status["master"]["pid"] == server.pid
    assert [worker["generation"] for worker in status["workers"]] == [2, 2]
    assert server.get("/")[1].startswith(b"goodbye")


@pytest.mark.parametrize(
    ("name", "broken", "told"),
    [
        ("main.py", "import nothing_of_that_name", "nothing_of_that_name"),  # The check finds it.
        ("main.py", UNREADY, "no database"),  # The new workers find it.
        (
            "msgspec.py",
            HALF_A_DEPLOYMENT,
            "did not start: ImportError: half a deployment",
        ),  # Nobody does, and the shim stands in.
    ],
    ids=["check", "workers", "shim"],
)
def test_upgrade_to_broken_code_fails(
    start: Start, tmp_path: Path, name: str, broken: str, told: str
) -> None:
    """
    Wherever it breaks, the old workers serve, and whoever waits learns why.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, broken, name)

    result = order(server, "upgrade")

    assert (result.returncode, result.stdout) == (1, ""), server.output()
    assert told in result.stderr
    assert server.get("/")[1].startswith(b"hello")


def test_orders_to_a_stand_in_are_refused_with_the_way_out(start: Start, tmp_path: Path) -> None:
    """
    It reads no orders; it takes the signals that it names.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, HALF_A_DEPLOYMENT, "msgspec.py")
    assert order(server, "upgrade").returncode == 1

    result = order(server, "reload")
    assert result.returncode == 1
    assert f"USR2 to {server.pid} tries again" in result.stderr

    (tmp_path / "msgspec.py").unlink()
    server.signal(signal.SIGUSR2)
    status = server.wait_generation(2, workers=1)
    assert [(each["origin"], each["state"]) for each in status["operations"]] == [
        ("control", "failed"),
        ("SIGUSR2", "done"),
    ]
    assert order(server, "reload").returncode == 0


def test_scale_ends_when_the_slots_serve_and_the_surplus_is_gone(start: Start) -> None:
    """
    Up and down, and to where it is.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()

    for count, told in ((3, "3 workers\n"), (3, "3 workers\n"), (1, "1 worker\n")):
        result = order(server, "scale", str(count))
        assert (result.returncode, result.stdout, result.stderr) == (0, told, "")
        assert [worker["state"] for worker in server.status()["workers"]] == ["ready"] * count
    assert server.get("/whoami")[0] == 200


def test_scale_beyond_the_limits_is_refused_and_names_them(start: Start) -> None:
    """
    A worker more than there are shards would accept nothing.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()

    for count in ("0", "9", "999999999"):
        result = order(server, "scale", count)
        assert (result.returncode, result.stdout) == (1, "")
        assert f"{count} workers are not possible: 1 to 8 are" in result.stderr
    result = order(server, "scale", "12345678901234567890")
    assert result.returncode == 1
    assert "takes one number" in result.stderr
    assert server.status()["slots"] == 1


def test_scale_to_workers_that_do_not_start_fails(start: Start, tmp_path: Path) -> None:
    """
    It is tried again, but whoever waits need not.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, "raise RuntimeError('oops')")

    result = order(server, "scale", "2")

    assert result.returncode == 1
    assert "slot 1 does not start" in result.stderr
    assert server.get("/")[1].startswith(b"hello")


def test_drain_ends_when_the_master_is_gone(start: Start, tmp_path: Path) -> None:
    """
    What is in flight is answered first, and the files are removed.
    """
    write_app(tmp_path, SLOW)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    with going_on(tmp_path) as pool:
        answer = pool.submit(server.get, "/slow")
        server.wait_status(
            lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
        )

        drain = pool.submit(order, server, "drain")

        server.wait_status(lambda status: status["master"]["state"] == "draining", "the drain")
        assert not drain.done()
        (tmp_path / "go").touch()
        result = drain.result()
        assert (result.returncode, result.stdout, result.stderr) == (0, "the server has stopped\n", "")
        assert answer.result() == (200, b"done")
    assert server.wait_exit(5.0) == 0
    assert not server.control.exists()


def test_waiting_ends_at_the_timeout_and_the_order_goes_on(start: Start, tmp_path: Path) -> None:
    """
    The command says so, and the new generation serves later.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + HELLO)

    result = order(server, "reload", "--timeout", "0.3")

    assert result.returncode == 1
    assert "it goes on" in result.stderr
    (tmp_path / "go").touch()
    assert ended(server, "reload", "done")["generation"] == 2


def test_signals_make_operations_too(start: Start, tmp_path: Path) -> None:
    """
    One way for both: what a signal asked for, and what came of it, can be looked up.
    """
    (tmp_path / "p.yaml").write_text(GOOD)
    server = start("-c", "p.yaml").wait_serving()

    server.signal(signal.SIGHUP)
    found = ended(server, "reload", "done")
    assert (found["origin"], found["generation"]) == ("SIGHUP", 2)
    server.signal(signal.SIGTTIN)
    found = ended(server, "scale", "done")
    assert (found["origin"], found["argument"]) == ("SIGTTIN", 2)
    server.signal(signal.SIGTTOU)
    wait_for(lambda: last_operation(server.status(), "scale")["origin"] == "SIGTTOU", "the next")
    assert ended(server, "scale", "done")["argument"] == 1
    server.signal(signal.SIGTTOU)
    assert "1 to 8" in ended(server, "scale", "failed")["reason"]
    server.signal(signal.SIGUSR2)
    found = ended(server, "upgrade", "done")
    assert (found["origin"], found["generation"]) == ("SIGUSR2", 3)
    assert [each["verb"] for each in server.status()["operations"]] == [
        *("reload", "scale", "scale", "scale", "upgrade")
    ]


def test_reload_during_an_upgrade_is_done_with_it(start: Start, tmp_path: Path) -> None:
    """
    The new code reads the configuration after both were asked for, so both have what they wanted.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + HELLO)
    with going_on(tmp_path) as pool:
        upgrades = [pool.submit(order, server, "upgrade")]
        server.wait_status(lambda status: status["master"]["state"] == "upgrading", "the check")
        upgrades.append(pool.submit(order, server, "upgrade"))
        reload = pool.submit(order, server, "reload")
        server.wait_status(lambda status: len(status["operations"]) == 3, "all three")
        (tmp_path / "go").touch()

        for each in (*upgrades, reload):
            assert each.result().returncode == 0, each.result().stderr
            assert each.result().stdout == "generation 2 serves\n"
    assert server.status()["master"]["generation"] == 2


def test_reload_during_a_check_that_fails_happens_after_it(start: Start, tmp_path: Path) -> None:
    """
    One outcome is not the other's.
    """
    (tmp_path / "p.yaml").write_text(GOOD)
    server = start("-c", "p.yaml").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + "raise RuntimeError('oops')")
    (tmp_path / "p.yaml").write_text(GOOD.replace("respond: {body: good}", "app: 'main:app'"))
    with going_on(tmp_path) as pool:
        upgrade = pool.submit(order, server, "upgrade")
        wait_for((tmp_path / "importing").exists, "the check to have read the file")
        reload = pool.submit(order, server, "reload")
        wait_for(lambda: "reload: as soon as" in server.output(), "the reload to be put off")
        (tmp_path / "p.yaml").write_text(GOOD.replace("good", "better"))
        (tmp_path / "go").touch()

        assert upgrade.result().returncode == 1
        assert "oops" in upgrade.result().stderr
        assert reload.result().returncode == 0, reload.result().stderr
    assert server.get("/") == (200, b"better")


def test_upgrade_during_a_reload_has_the_later_generation(start: Start, tmp_path: Path) -> None:
    """
    The roll that was overtaken is done when the one that overtook it is.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + HELLO)
    with going_on(tmp_path) as pool:
        reload = pool.submit(order, server, "reload")
        server.wait_status(lambda status: status["master"]["state"] == "rolling", "the roll")
        upgrade = pool.submit(order, server, "upgrade")
        server.wait_status(lambda status: len(status["operations"]) == 2, "both")
        (tmp_path / "go").touch()

        assert reload.result().returncode == upgrade.result().returncode == 0
        assert upgrade.result().stdout == "generation 3 serves\n"


def test_second_reload_overtakes_the_first_and_both_are_done(start: Start, tmp_path: Path) -> None:
    """
    Two deployments at once: the later code serves, and both scripts go on.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + HELLO)
    with going_on(tmp_path) as pool:
        first = pool.submit(order, server, "reload")
        wait_for((tmp_path / "importing").exists, "the successor of the first")
        write_app(tmp_path, HELLO.replace("hello", "later"))
        second = pool.submit(order, server, "reload")

        assert [each.result().stdout for each in (first, second)] == ["generation 3 serves\n"] * 2
    assert server.get("/")[1].startswith(b"later")


@pytest.mark.parametrize("kind", ["workers", "admin"])
def test_process_killed_in_the_middle_does_not_change_the_outcome(
    start: Start, tmp_path: Path, kind: str
) -> None:
    """
    Neither a worker that was to be replaced anyway, nor the one that tells the outcome.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + HELLO)
    with going_on(tmp_path) as pool:
        reload = pool.submit(order, server, "reload")
        status = server.wait_status(lambda status: status["master"]["state"] == "rolling", "the roll")
        os.kill(status["admin"]["pid"] if kind == "admin" else status["workers"][0]["pid"], signal.SIGKILL)
        (tmp_path / "go").touch()

        assert reload.result().returncode == 0, reload.result().stderr
    assert server.status()["master"]["generation"] == 2


@pytest.mark.parametrize("verb", ["reload", "upgrade"])
def test_stop_in_the_middle_fails_what_is_under_way(start: Start, tmp_path: Path, verb: str) -> None:
    """
    Nobody waits for what will not happen any more.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, "import time; time.sleep(60)\n" + HELLO)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(order, server, verb)
        server.wait_status(lambda status: last_operation(status, verb), "the operation")

        server.signal(signal.SIGTERM)

        assert waiting.result().returncode == 1
        assert "stop" in waiting.result().stderr
    assert server.wait_exit() == 0


def test_orders_while_it_stops_are_refused_and_a_second_drain_joins(start: Start, tmp_path: Path) -> None:
    """
    A second `drain` is not a second TERM: it does not cut off what is in flight.
    """
    write_app(tmp_path, SLOW)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    with going_on(tmp_path) as pool:
        answer = pool.submit(server.get, "/slow")
        server.wait_status(
            lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
        )
        drains = [pool.submit(order, server, "drain")]
        server.wait_status(lambda status: status["master"]["state"] == "draining", "the drain")
        drains.append(pool.submit(order, server, "drain"))
        server.wait_status(
            lambda status: [each["verb"] for each in status["operations"]].count("drain") == 2, "both drains"
        )
        result = order(server, "scale", "2")

        assert result.returncode == 1
        assert "the server is stopping" in result.stderr
        (tmp_path / "go").touch()
        assert answer.result() == (200, b"done")
        assert [each.result().returncode for each in drains] == [0, 0]


def test_orders_are_taken_on_the_control_socket_alone(start: Start) -> None:
    """
    The admin address has no password, and may be open to a network.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    with socket.create_connection(("127.0.0.1", server.admin_port), timeout=30) as client:
        client.sendall(b"POST /control/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 404 ")
    assert server.status()["operations"] == []


def test_rubbish_on_the_control_socket_harms_nothing(start: Start) -> None:
    """
    Whatever is sent, it is answered or cut off, and the server goes on taking orders.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    post = b"POST /control/%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n"
    for sent, expected in (
        (b"\0\xff" * 1000 + b"\r\n\r\n", b"HTTP/1.1 400 "),
        (post % (b"drain", b"X: " + b"x" * 100_000 + b"\r\n"), b"HTTP/1.1 431 "),
        (post % (b"explode", b""), b"HTTP/1.1 404 "),
        (post % (b"scale", b""), b"HTTP/1.1 400 "),
        (post % (b"scale?workers=-1", b""), b"HTTP/1.1 400 "),
        (post % (b"scale?workers=1&workers=2", b""), b"HTTP/1.1 400 "),
        (post % (b"reload?now=1", b""), b"HTTP/1.1 400 "),
        (post.replace(b"POST", b"GET") % (b"drain", b""), b"HTTP/1.1 405 "),
        (post % (b"drain", b"Content-Length: 99999999\r\n"), b"HTTP/1.1 413 "),
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30.0)
            client.connect(str(server.control))
            client.sendall(sent)
            assert client.recv(4096).startswith(expected), sent[:60]
    random = Random(7)
    for size in range(1, 4000, 40):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30.0)
            client.connect(str(server.control))
            try:
                client.sendall(random.randbytes(size) + b"\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(4096)[:12] in (b"", b"HTTP/1.1 400"), size
            except (BrokenPipeError, ConnectionResetError):
                pass  # It had seen enough.
    assert server.status()["operations"] == []
    assert order(server, "reload").returncode == 0
