"""Apps that the master imports: what is shared, and how new code comes in all the same."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import Server, run_penstock, wait_for, write_app

Start = Callable[..., Server]

APP = """
import atexit
import json
import os

imported_in = os.getpid()
started_in = None
made_in = []


async def app(scope, receive, send):
    global started_in
    if scope["type"] == "lifespan":
        await receive()
        started_in = os.getpid()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    seen = {"version": "VERSION", "imported": imported_in, "started": started_in, "pid": os.getpid()}
    body = json.dumps(seen | {"made": made_in}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def make():
    made_in.append(os.getpid())
    return app
"""

# A thread that nobody ends, and a loop that nobody closes.
CARELESS = (
    """
import asyncio
import threading

loop = asyncio.new_event_loop()
threading.Thread(target=threading.Event().wait, name="refresher").start()
"""
    + APP
)


def version(name: str, source: str = APP) -> str:
    return source.replace("VERSION", name)


def ask(server: Server) -> dict[str, Any]:
    return json.loads(server.get("/")[1])  # type: ignore[no-any-return]


def test_workers_take_what_the_master_has_imported(start: Start, tmp_path: Path) -> None:
    """
    The import and the factory in the master, the lifespan in each worker, and the same after a crash.
    """
    write_app(tmp_path, version("one"))
    server = start("main:make", "--factory", "--preload", "--port", "0", "--workers", "2").wait_serving()

    for seen in (ask(server) for _ in range(8)):
        assert seen["imported"] == server.pid
        assert seen["made"] == [server.pid]
        assert seen["started"] == seen["pid"] != server.pid

    write_app(tmp_path, version("two"))
    done = run_penstock("recycle", "0", "--control", str(server.control), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {ask(server)["version"] for _ in range(8)} == {"one"}
    assert server.stop() == 0


def test_hup_brings_new_code_by_a_hot_restart(start: Start, tmp_path: Path) -> None:
    """
    Whoever sends HUP after a deployment means the new code, and need not know where it is imported.
    """
    write_app(tmp_path, version("one"))
    server = start("main:app", "--preload", "--port", "0", "--workers", "2").wait_serving()

    write_app(tmp_path, version("two"))
    server.signal(signal.SIGHUP)
    status = server.wait_generation(2, workers=2)

    assert {ask(server)["version"] for _ in range(8)} == {"two"}
    assert ask(server)["imported"] == status["master"]["pid"] == server.pid
    assert [(each["verb"], each["state"]) for each in status["operations"]] == [("reload", "done")]

    write_app(tmp_path, version("three"))
    done = run_penstock("reload", "--control", str(server.control), cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "generation 3 serves")
    assert {ask(server)["version"] for _ in range(8)} == {"three"}


def test_a_reload_to_code_that_does_not_import_is_refused_once(start: Start, tmp_path: Path) -> None:
    """
    Its check finds it, what serves goes on, and nobody tries again before being asked.
    """
    write_app(tmp_path, version("one"))
    server = start("main:app", "--preload", "--port", "0", "--workers", "1").wait_serving()
    workers = [each["pid"] for each in server.status()["workers"]]

    write_app(tmp_path, "raise RuntimeError('half a deployment')\n")
    done = run_penstock("reload", "--control", str(server.control), cwd=tmp_path)

    assert done.returncode == 1
    assert "half a deployment" in done.stderr
    status = server.wait_status(lambda status: status["master"]["state"] == "running", "the old code")
    assert status["reload_failures"] == 1
    assert [each["pid"] for each in status["workers"]] == workers
    assert ask(server)["version"] == "one"

    write_app(tmp_path, version("two"))
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert ask(server)["version"] == "two"
    assert server.status()["reload_failures"] == 1


def test_a_reload_switches_it_on_and_off(start: Start, tmp_path: Path) -> None:
    """
    Off too takes a new image: in the old one the modules are there already.
    """
    write_app(tmp_path, version("one"))
    file = tmp_path / "p.yaml"

    def write(preload: str) -> None:
        file.write_text(
            f"workers: 1\npreload: {preload}\n"
            "listeners: [{bind: '127.0.0.1:0', routes: [{app: main:app}]}]\n"
        )

    write("false")
    server = start("-c", "p.yaml").wait_serving()
    assert (seen := ask(server))["imported"] == seen["pid"]

    write("true")
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert ask(server)["imported"] == server.pid

    write_app(tmp_path, version("two"))
    write("false")
    server.signal(signal.SIGHUP)
    server.wait_generation(3, workers=1)
    assert (seen := ask(server))["imported"] == seen["pid"]
    assert seen["version"] == "two"

    file.write_text("preload: perhaps\n")
    server.signal(signal.SIGHUP)
    status = server.wait_status(lambda status: status["reload_failures"], "a refused reload")
    assert "p.yaml:1:10" in status["master"]["last_failure"]["message"]
    assert ask(server)["version"] == "two"


def test_what_an_import_leaves_running_is_told_and_holds_nobody(start: Start, tmp_path: Path) -> None:
    """
    Neither the check of a hot restart nor the end of the server.
    """
    write_app(tmp_path, version("one", CARELESS))
    server = start("main:app", "--preload", "--port", "0", "--workers", "1").wait_serving()
    assert "do not run in the workers: refresher" in server.output()
    assert "an event loop was made at import" in server.output()

    write_app(tmp_path, version("two", CARELESS))
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    assert ask(server)["version"] == "two"
    assert server.stop() == 0


@pytest.mark.parametrize("source", ["raise RuntimeError('no database')\n", CARELESS + "\n1 / 0\n"])
def test_an_import_that_fails_at_the_start_is_its_end(tmp_path: Path, source: str) -> None:
    """
    With the traceback, before anything is bound; also when a thread runs already.
    """
    write_app(tmp_path, source)
    files = ["--control", str(tmp_path / "c.sock"), "--pidfile", str(tmp_path / "master.pid")]

    done = run_penstock("main:app", "--preload", "--port", "0", "--admin-bind", "none", *files, cwd=tmp_path)

    assert done.returncode == 3
    assert 'main.py", line' in done.stderr
    assert done.stderr.splitlines()[-1].startswith("penstock: cannot import 'main:app': main raised ")
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("main.py", "__pycache__")] == []


def test_an_import_that_fails_after_its_check_leaves_the_old_workers(start: Start, tmp_path: Path) -> None:
    """
    Something changed in between. The old workers serve on, and the next reload mends it.
    """
    write_app(tmp_path, version("one"))
    server = start("main:app", "--preload", "--port", "0", "--workers", "2").wait_serving()
    workers = {each["pid"] for each in server.status()["workers"]}

    # Python runs it in the check, where this variable is set, and in the new image, where it is not.
    in_the_check = "import os\nif '_PENSTOCK_HANDOVER' in os.environ: raise RuntimeError('too late')\n"
    write_app(tmp_path, in_the_check + version("two"))
    server.signal(signal.SIGHUP)

    status = server.wait_status(lambda status: status["reload_failures"], "a failed hot restart")
    assert "too late" in status["master"]["last_failure"]["message"]
    assert {each["pid"] for each in status["workers"]} == workers
    assert {ask(server)["version"] for _ in range(8)} == {"one"}
    wait_for(lambda: [each["state"] for each in server.status()["operations"]] == ["failed"], "the outcome")

    write_app(tmp_path, version("three"))
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=2)
    assert {ask(server)["version"] for _ in range(8)} == {"three"}
