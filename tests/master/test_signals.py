"""Signals in a process of their own, so that the test runner keeps its handlers."""

import subprocess
import sys
import textwrap


def run(code: str) -> str:
    """Run a script with an inbox at hand, and give what it printed."""
    start = """
import os, select, signal
from signal import SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2
from penstock.master.signals import SignalInbox, block_signals, unblock_signals

def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)

def is_awake():
    return bool(select.select([inbox], [], [], 0)[0])

def show():
    print(*(number.name for number in inbox.take()))
"""
    command = [sys.executable, "-c", start + textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_signal_wakes_and_is_taken_once() -> None:
    said = run("""
        inbox = SignalInbox()
        print(is_awake())
        send(SIGHUP)
        print(is_awake())
        show()
        print(is_awake())
        show()
    """)
    assert said.splitlines() == ["False", "True", "SIGHUP", "False", ""]


def test_signals_come_in_the_order_of_their_arrival() -> None:
    """A HUP before a TERM is a reload that is overtaken, not the other way round."""
    said = run("""
        inbox = SignalInbox()
        send(SIGUSR2, SIGHUP, SIGTERM, SIGCHLD)
        show()
    """)
    assert said.split() == ["SIGUSR2", "SIGHUP", "SIGTERM", "SIGCHLD"]


def test_a_signal_that_comes_again_before_it_is_read_is_one() -> None:
    """A signal that arrives during a roll is remembered once."""
    said = run("""
        inbox = SignalInbox()
        send(SIGHUP, SIGTTIN, SIGHUP, SIGHUP)
        show()
        send(SIGHUP)
        show()
    """)
    assert said.splitlines() == ["SIGHUP SIGTTIN", "SIGHUP"]


def test_every_signal_of_the_master_ends_up_in_the_inbox() -> None:
    """One that were forgotten would kill the master, and all its workers with it."""
    said = run("""
        inbox = SignalInbox()
        send(SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD)
        show()
    """)
    assert len(said.split()) == 9


def test_blocked_signals_wait_and_are_delivered() -> None:
    """Around a fork nothing is lost."""
    said = run("""
        inbox = SignalInbox()
        block_signals()
        send(SIGHUP, SIGHUP, SIGUSR1)
        print(is_awake())
        show()
        unblock_signals()
        print(is_awake())
        print(sorted(number.name for number in inbox.take()))
    """)
    assert said.splitlines() == ["False", "", "True", "['SIGHUP', 'SIGUSR1']"]


def test_signals_that_came_before_there_was_an_inbox_are_found_in_it() -> None:
    """The image before this one blocked them until the new handlers stood."""
    said = run("""
        block_signals()
        send(SIGTERM)
        inbox = SignalInbox()
        show()
    """)
    assert said.split() == ["SIGTERM"]


def test_signals_pass_through_exec() -> None:
    """A hot restart: what arrives between the two images is for the second."""
    said = run("""
        import sys
        block_signals()
        send(SIGHUP)
        script = (
            "from penstock.master.signals import SignalInbox\\n"
            "inbox = SignalInbox()\\n"
            "print(*(number.name for number in inbox.take()))\\n"
        )
        os.execv(sys.executable, [sys.executable, "-c", script])
    """)
    assert said.split() == ["SIGHUP"]


def test_a_flood_neither_blocks_nor_gets_lost() -> None:
    """The pipe that wakes the supervisor is full long before it is read."""
    said = run("""
        inbox = SignalInbox()
        for _ in range(70_000):
            signal.raise_signal(SIGCHLD)
        send(SIGTERM)
        show()
        show()
    """)
    assert said.split() == ["SIGCHLD", "SIGTERM"]
