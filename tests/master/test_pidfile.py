"""One file, one master, whatever crashed before."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.master.pidfile import Pidfile, PidfileTaken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.pid"


@contextmanager
def claimed(path: Path) -> Iterator[Pidfile]:
    pidfile = Pidfile.claim(path)
    try:
        yield pidfile
    finally:
        pidfile.remove()


def test_the_file_holds_our_pid_until_it_is_removed(path: Path) -> None:
    with claimed(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_second_master_is_refused_and_told_by_whom(path: Path) -> None:
    with claimed(path):
        with pytest.raises(PidfileTaken, match=f"held by a running master, pid {os.getpid()}$"):
            Pidfile.claim(path)
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_master_that_has_not_written_yet_is_unknown_but_counts(path: Path) -> None:
    """The lock is the truth, not the number."""
    path.touch()
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(PidfileTaken, match="pid unknown"):
            Pidfile.claim(path)


@pytest.mark.parametrize("left", ["1\n", "4194303\n", "not a number, and longer than any pid\n", ""])
def test_a_file_left_by_a_crash_is_taken_over(path: Path, left: str) -> None:
    """Even if its number is that of a living process: the lock went with its owner."""
    path.write_text(left)
    with claimed(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_the_lock_goes_with_the_open_file_through_exec(path: Path) -> None:
    """A hot restart passes the descriptor on; nobody can slip in between the two images."""
    pidfile = Pidfile.claim(path)
    successor = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[pidfile.fd], text=True
    )
    os.close(pidfile.fd)
    with pytest.raises(PidfileTaken):
        Pidfile.claim(path)

    successor.communicate("\n", timeout=30)
    with claimed(path):
        pass


def test_a_duplicate_that_is_closed_does_not_give_the_lock_away(path: Path) -> None:
    """Every forked child closes one."""
    with claimed(path) as pidfile:
        os.close(os.dup(pidfile.fd))
        with pytest.raises(PidfileTaken):
            Pidfile.claim(path)


def test_only_our_own_file_is_removed(path: Path) -> None:
    """An operator cleaned up, and another master has the name now."""
    ours = Pidfile.claim(path)
    path.unlink()
    with claimed(path):
        ours.remove()
        assert path.exists()


def test_removing_what_is_gone_is_no_error(path: Path) -> None:
    pidfile = Pidfile.claim(path)
    path.unlink()
    pidfile.remove()


def test_a_file_that_is_removed_while_we_open_it_is_made_again(path: Path) -> None:
    """
    The owner leaves between our open and our lock: that lock would be on a ghost.

    The audit hook stands for the owner, for it runs exactly there.
    """
    script = """
import os, sys
from pathlib import Path
from penstock.master.pidfile import Pidfile

path = Path(sys.argv[1])
path.write_text("1")
removed = []

def leave(event, arguments):
    if event == "fcntl.flock" and not removed:
        removed.append(path)
        path.unlink()

sys.addaudithook(leave)
pidfile = Pidfile.claim(path)
assert removed
assert path.stat().st_ino == os.fstat(pidfile.fd).st_ino
assert path.read_text() == f"{os.getpid()}\\n"
pidfile.remove()
assert len([fd for fd in os.listdir("/proc/self/fd")]) == 4, "a descriptor is left"
"""
    subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, stdin=subprocess.DEVNULL, timeout=60
    )


def test_a_symlink_is_not_followed(path: Path) -> None:
    """In a folder that others may write to, it would empty any file of ours."""
    victim = path.with_name("victim")
    victim.write_text("data")
    path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        Pidfile.claim(path)
    assert victim.read_text() == "data"


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pidfile.claim(tmp_path / "none" / "penstock.pid")
