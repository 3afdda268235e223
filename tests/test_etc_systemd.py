"""The systemd unit, judged by systemd's own tools. They are needed: without them these tests fail."""

import ctypes
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from penstock.worker.spec import WorkerSpec
from tests.process.harness import Server

UNIT = Path(__file__).parents[1] / "etc" / "penstock.service"

# systemd's scale goes from 0 (nothing left to take away) to 10. What remains is
# what a network server is for: sockets, the host's network, a port below 1024.
EXPOSURE_MAX = 2.0


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    assert tool is not None, "systemd-analyze is missing: install the package systemd"
    return subprocess.run(
        [tool, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"},
    )


def settings() -> dict[str, list[str]]:
    """Return every value that the unit gives to a name, in order."""
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            values.setdefault(match[1], []).append(match[2])
    return values


def only(name: str) -> str:
    [value] = settings()[name]
    return value


@pytest.fixture
def installed_unit(tmp_path: Path) -> Path:
    """Return a copy whose program exists on this machine, as one would install it."""
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text), encoding="utf-8")
    return copy


def test_systemd_accepts_the_unit(installed_unit: Path) -> None:
    """
    A misspelt setting is only a warning to systemd, and then a sandbox with a hole.
    """
    result = analyze("verify", "--man=no", installed_unit)

    assert result.returncode == 0, result.stderr
    about_us = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert about_us == []


def test_systemd_accepts_the_socket_beside_it(installed_unit: Path) -> None:
    """
    Each is started by the other, under the names that they are installed by.
    """
    socket_unit = installed_unit.with_suffix(".socket")
    socket_unit.write_text(UNIT.with_suffix(".socket").read_text(encoding="utf-8"), encoding="utf-8")

    result = analyze("verify", "--man=no", socket_unit)

    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if socket_unit.name in line] == []


def test_systemd_would_tell_of_a_misspelt_setting(installed_unit: Path) -> None:
    """
    The control of the test above: it can fail.
    """
    installed_unit.write_text(installed_unit.read_text().replace("ProtectClock=", "ProtectClok="))

    assert "ProtectClok" in analyze("verify", "--man=no", installed_unit).stderr


def test_little_is_left_to_take_away(installed_unit: Path) -> None:
    """
    The sandbox is as tight as serving, pinning and restarting allow.
    """
    result = analyze("security", "--offline=true", "--no-pager", installed_unit)

    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert match is not None, result.stdout + result.stderr
    assert float(match[1]) <= EXPOSURE_MAX


def test_the_server_may_call_what_it_needs() -> None:
    """
    A filter without one of these would break pinning or the first hot restart, and nothing sooner.
    """
    groups: dict[str, set[str]] = {}
    for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            members = groups.setdefault(line.strip(), set())
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.add(line.strip())

    def expand(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return {call for member in groups[name] for call in expand(member)}

    allowed = {call for name in only("SystemCallFilter").split() for call in expand(name)}

    assert allowed >= {
        "memfd_create", "fcntl", "ftruncate", "mmap",  # the shared segment, and its seals
        "execve", "wait4", "rt_sigprocmask",  # the hot restart
        "sched_setaffinity", "prctl", "setuid", "setgid", "setgroups",  # workers
        "sendmsg", "recvmsg", "accept4", "setsockopt", "epoll_pwait", "listen",  # shards
        "flock", "kill", "membarrier", "pipe2", "clone", "clone3", "chmod", "chown",
    }  # fmt: skip
    assert not allowed & {"mount", "ptrace", "init_module", "bpf", "reboot", "swapon", "settimeofday"}


def test_systemd_waits_longer_than_a_drain() -> None:
    """
    Otherwise it would kill the workers that are still finishing what clients asked for.
    """
    drain_timeout_s = {field.name: field.default for field in msgspec.structs.fields(WorkerSpec)}[
        "drain_timeout_s"
    ]

    assert float(only("TimeoutStopSec")) > drain_timeout_s


def test_only_the_master_is_signalled() -> None:
    """
    A TERM to the workers as well would stop them before their shards have been taken.
    """
    assert only("KillMode") == "mixed"
    assert only("KillSignal") == "SIGTERM"
    assert only("ExecReload") == "/bin/kill -HUP $MAINPID"


def test_a_killed_worker_does_not_take_the_others_along() -> None:
    """
    By default systemd stops a whole service when the kernel kills one of its processes for memory.
    """
    assert only("OOMPolicy") == "continue"


def confine() -> None:
    """
    Forbid this process, and all that it becomes and forks, what the unit forbids and needs no systemd for.

    That is gaining rights, and making code out of data; a kernel before 6.3 does not know the second.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    set_no_new_privs, set_mdwe, refuse_exec_gain = 38, 65, 1
    for order in ((set_no_new_privs, 1), (set_mdwe, refuse_exec_gain)):
        if prctl(*map(ctypes.c_ulong, (*order, 0, 0, 0))) != 0:
            assert ctypes.get_errno() == errno.EINVAL, os.strerror(ctypes.get_errno())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_a_confined_server_serves_and_restarts(tmp_path: Path) -> None:
    """
    The memfd, the execve in place and the pinned workers live with NoNewPrivileges= and W^X.
    """
    server = Server("--port", "0", "--workers", "2", cwd=tmp_path, preexec_fn=confine)
    try:
        server.wait_serving()
        assert server.whoami()["generation"] == 1
        server.signal(signal.SIGUSR2)
        server.wait_generation(2, workers=2)
        assert server.whoami()["generation"] == 2
        assert server.stop() == 0
    finally:
        server.clean_up()


def test_every_setting_has_its_reason() -> None:
    """
    Someone who loosens the sandbox should know what for: each block opens with a comment.
    """
    body = UNIT.read_text(encoding="utf-8").split("[Service]")[1].split("[Install]")[0]
    for block in re.split(r"\n\s*\n", body.strip()):
        assert block.startswith(("#", "Restart=")), block
