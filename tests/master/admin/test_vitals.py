"""What is read of processes that come and go."""

import os
import subprocess
import sys
import time

import psutil

from penstock.master.admin.vitals import Vitals, VitalSigns, count_open_fds, read_vitals


def test_a_live_process_has_what_other_tools_say_it_has() -> None:
    """Python itself takes megabytes, and has run for a while."""
    before = psutil.Process().cpu_times()
    vitals = read_vitals(os.getpid())
    after = psutil.Process().cpu_times()
    assert vitals is not None
    assert 1_000_000 < vitals.rss_bytes < psutil.virtual_memory().total
    assert before.user + before.system - 0.02 <= vitals.cpu_s <= after.user + after.system + 0.02


def test_a_name_may_look_like_the_fields_after_it() -> None:
    """Anybody may call a process what he likes."""
    rename = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b', 0, 0, 0)"
    command = f"{rename}; print('named'); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "named\n"
        vitals = read_vitals(child.pid)
        assert vitals is not None
        assert vitals.rss_bytes > 1_000_000
    finally:
        child.communicate("")


def test_a_process_that_is_gone_has_nothing() -> None:
    """It may have died between the snapshot and the question, and not been reaped yet."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    until_s = time.monotonic() + 30.0
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until_s
    assert read_vitals(child.pid) is None
    child.wait()
    assert read_vitals(child.pid) is None
    assert count_open_fds(child.pid) is None


def test_pids_that_cannot_be_are_nobodys() -> None:
    """A snapshot is not believed beyond reason."""
    assert read_vitals(2**40) is None
    assert read_vitals(-1) is None
    assert count_open_fds(-1) is None


def test_descriptors_are_counted() -> None:
    """One more is one more."""
    before = count_open_fds(os.getpid())
    assert before is not None
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert count_open_fds(os.getpid()) == before + 1
    finally:
        os.close(fd)


def test_the_kernel_is_asked_once_in_a_moment() -> None:
    """However many pages are open."""
    asked: list[int] = []

    def read(pid: int) -> Vitals | None:
        asked.append(pid)
        return None if pid == 9 else Vitals(rss_bytes=100 * len(asked), cpu_s=1.0)

    signs = VitalSigns(read)

    def rss_of(pids: list[int], now_s: float) -> dict[int, int]:
        return {pid: vitals.rss_bytes for pid, vitals in signs.of(pids, now_s).items()}

    assert rss_of([1, 2], 10.0) == {1: 100, 2: 200}
    assert rss_of([1, 2], 10.2) == {1: 100, 2: 200}
    assert rss_of([2, 3, 9], 10.2) == {1: 100, 2: 200, 3: 300}
    assert asked == [1, 2, 3, 9]
    assert rss_of([1], 11.0) == {1: 500}
