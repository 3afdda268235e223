"""What a forked child sheds and promises, each in a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from penstock.worker.child import MASTER_SIGNALS


def run(code: str) -> str:
    """Run a script with the functions at hand, and give what it printed."""
    start = """
import os, select, signal, subprocess, sys
from penstock.worker.child import *
from penstock.worker.child import MASTER_SIGNALS
"""
    command = [sys.executable, "-c", start + textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_masters_handlers_do_not_run_in_the_child() -> None:
    """
    A signal that is waiting at the fork meets the child's own handling, not the master's.

    A terminal sends INT, QUIT and HUP to the whole group; the master alone answers them.
    """
    said = run("""
        signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
        for number in MASTER_SIGNALS:
            signal.signal(number, lambda number, frame: print("the master's", number))
        read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(write_fd)
        for number in MASTER_SIGNALS - {signal.SIGTERM}:
            os.kill(os.getpid(), number)
        reset_signals()
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []) & MASTER_SIGNALS)
        print(signal.set_wakeup_fd(-1), select.select([read_fd], [], [], 0)[0])
        print(signal.getsignal(signal.SIGTERM).name, signal.getsignal(signal.SIGCHLD).name)
        for number in MASTER_SIGNALS:
            if number not in (signal.SIGTERM, signal.SIGCHLD):
                # A handler, not SIG_IGN, which the programs that an app runs would inherit.
                assert callable(signal.getsignal(number))
                os.kill(os.getpid(), number)
        child = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True)
        ignored = int(child.stdout.split("SigIgn:")[1].split()[0], 16)
        print([number for number in MASTER_SIGNALS if ignored >> (number - 1) & 1])
    """)
    assert said.splitlines() == ["set()", "-1 []", "SIG_DFL SIG_DFL", "[]"]


def test_a_child_without_a_handler_ends_at_a_term() -> None:
    """Between the fork and its own handler an operator can still get rid of it."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("reset_signals(); os.kill(os.getpid(), signal.SIGTERM)")
    assert caught.value.returncode == -signal.SIGTERM


def test_every_signal_with_a_meaning_is_listed() -> None:
    names = {"TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "TTIN", "TTOU", "CHLD"}
    assert {number.name.removeprefix("SIG") for number in MASTER_SIGNALS} == names


def test_a_settled_child_has_its_title_and_its_masters_fate() -> None:
    said = run("""
        title = "penstock: worker 3 (generation 2) [8080]"
        settle(title=title, uid=None, gid=None, groups=(), master_pid=os.getppid())
        print(open("/proc/self/cmdline").read().rstrip("\\0"))
    """)
    assert said.strip() == "penstock: worker 3 (generation 2) [8080]"


def test_a_master_that_is_gone_already_is_noticed() -> None:
    """It can die between the fork and the promise; the kernel then has nothing left to tell."""
    said = run("""
        try:
            die_with_master(os.getppid() + 1)
        except MasterGone:
            print("gone")
        die_with_master(os.getppid())
        print("lives")
    """)
    assert said.split() == ["gone", "lives"]


def test_a_child_dies_with_its_master() -> None:
    """Even one that hangs and would never see its lifeline close."""
    said = run("""
        read_fd, write_fd = os.pipe()
        ready_fd, tell_fd = os.pipe()
        master = os.fork()
        if master == 0:
            master_pid = os.getpid()
            if os.fork() == 0:
                die_with_master(master_pid)
                os.write(tell_fd, b"x")
                signal.pause()
            signal.pause()
        os.close(write_fd)
        os.read(ready_fd, 1)
        os.kill(master, signal.SIGKILL)
        os.waitpid(master, 0)
        # Only the grandchild still holds the other end; its death is the end of file.
        print(select.select([read_fd], [], [], 30)[0] == [read_fd], os.read(read_fd, 1))
    """)
    assert said.strip() == "True b''"


def test_privileges_are_dropped_for_good() -> None:
    """The group first: afterwards there is no right left to change it."""
    said = run("""
        if os.getuid() == 0:
            drop_privileges(65534, 65533, (65533, 65532))
            print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))
            try:
                os.setuid(0)
            except PermissionError:
                print("for good")
        else:
            try:
                drop_privileges(0, 0)
            except PermissionError:
                print("not allowed")
    """)
    if os.getuid() == 0:
        dropped = "(65534, 65534, 65534) (65533, 65533, 65533) [65532, 65533]"
        assert said.splitlines() == [dropped, "for good"]
    else:
        assert said.strip() == "not allowed"


def test_a_user_without_a_group_loses_the_starters_other_groups() -> None:
    said = run("""
        if os.getuid() == 0:
            os.setgroups([0, 7, 8])
            drop_privileges(4000000001, None)
        print(os.getgroups() if os.getuid() == 4000000001 else [os.getgid()])
        print(os.getgid())
    """)
    groups, gid = said.splitlines()
    assert groups == f"[{gid}]"


def test_with_nothing_to_drop_nothing_changes() -> None:
    said = run("""
        before = os.getresuid(), os.getresgid(), os.getgroups()
        drop_privileges(None, None)
        print(before == (os.getresuid(), os.getresgid(), os.getgroups()))
    """)
    assert said.strip() == "True"
