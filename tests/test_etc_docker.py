"""The Dockerfile: its command, run as a container would run it, in namespaces of this machine."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, get, wait_for, write_app
from tests.process.test_serving import HELLO

DOCKERFILE = Path(__file__).parents[1] / "etc" / "Dockerfile"

# What `--read-only --tmpfs /tmp` makes: nothing can be written but a folder in memory.
READ_ONLY = """
mount -t tmpfs -o mode=0700 tmpfs "$XDG_RUNTIME_DIR" &&
mount --bind . . && mount -o remount,bind,ro . &&
mount -o remount,bind,ro / &&
cd "$PWD" &&
! touch written 2>/dev/null &&
exec "$@"
"""


def instructions() -> list[tuple[str, str]]:
    """Return every instruction with its argument, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(word, argument.strip()) for word, argument in lines]


def only(word: str) -> str:
    [argument] = [argument for each, argument in instructions() if each == word]
    return argument


def command() -> list[str]:
    words = json.loads(only("CMD"))
    assert words[0] == "penstock"
    return [sys.executable, "-m", *words]


class Container:
    """The master as PID 1, in a file system that it cannot write to."""

    def __init__(self, folder: Path) -> None:
        write_app(folder, HELLO)
        runtime = folder.parent / f"{folder.name}-runtime"
        runtime.mkdir()
        self.log = folder.parent / f"{folder.name}.out"
        namespaces = ["--pid", "--mount-proc", "--fork", "--kill-child"]
        if os.getuid():
            namespaces += ["--user", "--map-root-user"]
        # Of this machine, and not beyond it; the last of equal options counts.
        local = ["--host", "127.0.0.1", "--port", "0", "--admin-bind", "127.0.0.1:0", "--workers", "1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", *namespaces, "sh", "-c", READ_ONLY, "sh", *command(), *local],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONUNBUFFERED": "1"},
            )

    def wait_serving(self) -> "Container":
        def found() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return len(self.ports()) == 2

        wait_for(found, "the banner")
        self.port, self.admin_port = self.ports()
        [self.master] = psutil.Process(self.process.pid).children()
        return self

    def ports(self) -> list[int]:
        """Read where it listens, and where its admin endpoint is."""
        found = re.findall(r"(?:listening on |/status +)(?:http://)?\S+?:(\d+)", self.log.read_text())
        return [int(port) for port in found]


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    folder = tmp_path / "app"
    folder.mkdir()
    container = Container(folder)
    yield container
    container.process.kill()
    container.process.wait()


def test_its_command_serves_as_pid_1_and_writes_nothing(container: Container) -> None:
    """
    Reload, hot restart and stop, too.
    """
    container.wait_serving()
    assert get(container.port) == (200, b"hello from %d" % worker_of(container))
    for generation, number in ((2, signal.SIGHUP), (3, signal.SIGUSR2)):
        container.master.send_signal(number)
        wait_for(partial(is_generation, container, generation), f"generation {generation}")
        assert get(container.port)[0] == 200

    container.master.send_signal(getattr(signal, only("STOPSIGNAL")))
    wait_for(lambda: get(container.admin_port, "/readyz")[0] == 503, "not being ready")
    assert get(container.port)[0] == 200, "it is to go on accepting for a while"
    container.master.send_signal(signal.SIGTERM)
    container.master.wait(DEADLINE_S)
    assert not re.search("ERROR|Traceback", container.log.read_text())


def worker_of(container: Container) -> int:
    status = json.loads(get(container.admin_port, "/status")[1])
    [worker] = status["workers"]
    return int(worker["pid"])


def is_generation(container: Container, number: int) -> bool:
    """Whether this generation alone serves."""
    status = json.loads(get(container.admin_port, "/status")[1])
    states = {(worker["generation"], worker["state"]) for worker in status["workers"]}
    return states == {(number, "ready")} and status["master"]["state"] == "running"


def test_docker_would_find_it_healthy(container: Container) -> None:
    container.wait_serving()
    options, _, check = only("HEALTHCHECK").partition("CMD ")
    words = [word.replace(":9180/", f":{container.admin_port}/") for word in json.loads(check)]
    assert any(f":{container.admin_port}/readyz" in word for word in words)
    asked = [sys.executable if word == "python" else word for word in words]
    assert subprocess.run(asked, timeout=DEADLINE_S, check=False).returncode == 0
    assert "--start-period=" in options

    container.master.send_signal(signal.SIGTERM)
    wait_for(
        lambda: subprocess.run(asked, timeout=DEADLINE_S, check=False, stderr=subprocess.DEVNULL).returncode,
        "not being healthy",
    )


def test_its_ports_are_those_of_its_command() -> None:
    """
    A port that is exposed and not opened misleads whoever publishes it.
    """
    words = command()
    admin = words[words.index("--admin-bind") + 1].rpartition(":")[2]
    assert "--port" not in words  # so it is 8000
    assert only("EXPOSE").split() == ["8000", admin]


def test_its_user_is_not_root() -> None:
    order = [word for word, _ in instructions()]
    assert only("USER") not in ("root", "0")
    assert order.index("RUN") < order.index("USER") < order.index("CMD")
