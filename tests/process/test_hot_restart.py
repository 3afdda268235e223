"""SIGUSR2, and the ways in which it can fail without anyone noticing but the operator."""

import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import Server, wait_for, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]
ROOT = Path(__file__).parents[2]


def test_app_that_does_not_import_is_found_before_anything_changes(start: Start, tmp_path: Path) -> None:
    """
    The new code is tried in a child; the old one goes on.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    workers = {worker["pid"] for worker in server.status()["workers"]}

    write_app(tmp_path, "import nothing_of_that_name\n")
    server.signal(signal.SIGUSR2)

    status = server.wait_status(
        lambda status: status["reload_failures"] and status["master"]["state"] == "running",
        "a refused hot restart",
    )
    assert "nothing_of_that_name" in status["master"]["last_failure"]["message"]
    assert {worker["pid"] for worker in status["workers"]} == workers
    assert server.get("/")[1].startswith(b"hello")


def test_app_that_imports_but_does_not_start_leaves_the_old_workers(start: Start, tmp_path: Path) -> None:
    """
    The master has become the new code by then; the old workers serve under it.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    workers = {worker["pid"] for worker in server.status()["workers"]}

    write_app(
        tmp_path,
        """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
""",
    )
    server.signal(signal.SIGUSR2)

    status = server.wait_status(
        lambda status: status["reload_failures"] and status["master"]["state"] == "running",
        "an abandoned hot restart",
    )
    assert "no database" in status["master"]["last_failure"]["message"]
    assert {worker["pid"] for worker in status["workers"]} == workers
    assert status["master"]["pid"] == server.pid
    assert server.get("/")[1].startswith(b"hello")

    write_app(tmp_path, HELLO.replace("hello", "mended"))
    server.signal(signal.SIGUSR2)
    server.wait_status(
        lambda status: status["master"]["generation"] == 3 and status["master"]["state"] == "running",
        "the mended app",
    )
    assert server.get("/")[1].startswith(b"mended")


def test_broken_config_file_is_found_before_anything_changes(start: Start, tmp_path: Path) -> None:
    """
    The check reads the file as the new code would.
    """
    file = tmp_path / "p.yaml"
    good = "workers: 1\nlisteners: [{bind: '127.0.0.1:0', routes: [{respond: {body: good}}]}]\n"
    file.write_text(good)
    server = start("-c", "p.yaml").wait_serving()

    file.write_text("listeners: 3\n")
    server.signal(signal.SIGUSR2)

    status = server.wait_status(lambda status: status["reload_failures"], "a refused hot restart")
    assert "p.yaml:1:12" in status["master"]["last_failure"]["message"]
    assert server.get("/")[1] == b"good"


def test_descriptors_do_not_pile_up(start: Start) -> None:
    """
    What one image hands to the next is all that the next one has.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    server.wait_generation(1, workers=1)
    folder = Path(f"/proc/{server.pid}/fd")

    def settled(generation: int) -> int:
        server.wait_generation(generation, workers=1)
        wait_for(lambda: len(server.children()) == 2, "one worker and one admin process")
        return len(list(folder.iterdir()))

    before = settled(1)
    for generation in (2, 3, 4):
        server.signal(signal.SIGUSR2)
        after = settled(generation)

    assert after == before


def test_second_usr2_while_one_is_on_its_way_is_one(start: Start) -> None:
    """
    An impatient operator gets one hot restart, not two.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()

    server.signal(signal.SIGUSR2)
    server.wait_status(lambda status: status["master"]["state"] == "upgrading", "the check")
    server.signal(signal.SIGUSR2)

    status = server.wait_generation(2, workers=1)
    assert status["reload_failures"] == 0


def test_hot_restart_follows_a_switched_symlink(start: Start, tmp_path: Path) -> None:
    """
    A deployment that switches `current` gets the new release, from the same command line.
    """
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        write_app(tmp_path / release, HELLO.replace("hello", release))
    current = tmp_path / "current"
    current.symlink_to("one")
    server = start(
        "main:app", "--port", "0", "--workers", "1", cwd=current, env={"PWD": str(current)}
    ).wait_serving()
    assert server.get("/")[1].startswith(b"one")

    switched = tmp_path / "switched"
    switched.symlink_to("two")
    switched.replace(current)
    server.control = tmp_path / "one" / "control.sock"
    server.signal(signal.SIGUSR2)

    server.wait_generation(2, workers=1)
    assert server.get("/")[1].startswith(b"two")


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


def test_new_code_that_does_not_even_import_is_stood_in_for(start: Start, tmp_path: Path) -> None:
    """
    Packages may change between the check and the start; the workers must not pay for it.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    workers = {worker["pid"] for worker in server.status()["workers"]}
    # Found before the installed package, since `python -m` looks in the working directory first.
    write_app(tmp_path, HALF_A_DEPLOYMENT, "msgspec.py")

    server.signal(signal.SIGUSR2)
    wait_for(lambda: "the new code did not start" in server.output(), "the stand-in")

    assert "half a deployment" in server.output()
    answers = {server.get("/")[1] for _ in range(30)}
    assert answers == {b"hello from %d" % pid for pid in workers}

    (tmp_path / "msgspec.py").unlink()
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=2)
    assert server.get("/")[0] == 200
    assert server.status()["master"]["pid"] == server.pid


def test_stand_in_can_be_stopped(start: Start, tmp_path: Path) -> None:
    """
    Whoever gives up on the new code stops the service as always.
    """
    write_app(tmp_path, HELLO)
    pidfile = tmp_path / "master.pid"
    server = start("main:app", "--port", "0", "--workers", "2", "--pidfile", str(pidfile)).wait_serving()
    children = server.children()
    write_app(tmp_path, HALF_A_DEPLOYMENT, "msgspec.py")
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "the new code did not start" in server.output(), "the stand-in")

    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    wait_for(lambda: not any(child.is_running() for child in children), "the children's end")
    assert not pidfile.exists()
    assert not server.control.exists()


def test_interpreter_that_is_gone_leaves_the_old_code_in_charge(start: Start, tmp_path: Path) -> None:
    """
    Nothing has been given up by the time that it is missed.
    """
    write_app(tmp_path, HELLO)
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    site_packages = next(path for path in sys.path if path.endswith("site-packages"))
    server = start(
        "main:app",
        *("--port", "0", "--workers", "1"),
        executable=str(interpreter),
        env={"PYTHONPATH": f"{site_packages}:{ROOT}"},
    ).wait_serving()
    interpreter.unlink()

    server.signal(signal.SIGUSR2)

    status = server.wait_status(lambda status: status["reload_failures"], "a refused hot restart")
    assert "new code" in status["master"]["last_failure"]["message"]
    assert server.get("/")[0] == 200
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)


def test_folder_that_is_gone_costs_nothing(start: Start, tmp_path: Path) -> None:
    """
    A deployment switches the symlink and removes the old release, working directory and all.
    """
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        write_app(tmp_path / release, HELLO.replace("hello", release))
    current = tmp_path / "current"
    current.symlink_to("one")
    control = tmp_path / "control.sock"
    server = start(
        *("main:app", "--port", "0", "--workers", "1", "--control", str(control)),
        cwd=current,
        env={"PWD": str(current)},
    ).wait_serving()
    server.control = control

    switched = tmp_path / "switched"
    switched.symlink_to("two")
    switched.replace(current)
    shutil.rmtree(tmp_path / "one")
    server.signal(signal.SIGUSR2)

    server.wait_generation(2, workers=1)
    assert server.get("/")[1].startswith(b"two")


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
def test_term_is_not_lost_between_the_two_images(start: Start, delay_s: float) -> None:
    """
    Whatever code runs when it arrives, or neither: the server stops.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    server.signal(signal.SIGUSR2)
    wait_for(lambda: "checking the new code" in server.output(), "the check")
    select.select([], [], [], delay_s)

    server.signal(signal.SIGTERM)

    assert server.wait_exit(10.0) == 0


def test_reload_during_the_check_is_remembered(start: Start, tmp_path: Path) -> None:
    """
    The check fails, and the reload that was asked for meanwhile still happens.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, "import time; time.sleep(1)\nraise RuntimeError('oops')\n")
    server.signal(signal.SIGUSR2)
    server.wait_status(lambda status: status["master"]["state"] == "upgrading", "the check")

    server.signal(signal.SIGHUP)
    wait_for(lambda: "reload: as soon as" in server.output(), "the reload to be put off")
    write_app(tmp_path, HELLO.replace("hello", "mended"))

    server.wait_generation(2, workers=1)
    assert server.get("/")[1].startswith(b"mended")
