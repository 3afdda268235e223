"""A test that hangs is ended, wherever it hangs, and the next one runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

HANGING = """
import asyncio, subprocess, threading

import pytest, uvloop

async def hang():
    await asyncio.sleep(600)

async def hang_busily():
    asyncio.ensure_future(turn())
    await asyncio.sleep(600)

async def turn():
    while True:
        await asyncio.sleep(0)

@pytest.mark.parametrize("library", [asyncio, uvloop])
def test_idle_loop(library):
    library.run(hang())

@pytest.mark.parametrize("library", [asyncio, uvloop])
def test_busy_loop(library):
    library.run(hang_busily())

def test_thread():
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        thread.join()
    finally:
        ended.set()

def test_child():
    subprocess.run(["sleep", "600"])

def test_next():
    pass
"""


def test_hanging_tests_fail_and_the_next_one_runs(tmp_path: Path) -> None:
    """
    Also in an event loop, which keeps most exceptions to itself.
    """
    (tmp_path / "test_hanging.py").write_text(HANGING)

    # Not with Hypothesis' plugin: an alarm can leave Python 3.11's parser confused for what it imports late.
    options = ["-q", "-p", "tests.deadlines", "-p", "no:hypothesispytest", "--timeout", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "6 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("TookTooLong: the test took longer than 0.5 s") >= 6
