"""Memory of processes that come and go."""

import os
import subprocess
import sys

from penstock.master.admin.residents import ResidentMemory, read_rss


def test_a_live_process_has_resident_memory() -> None:
    """Python itself takes megabytes."""
    rss = read_rss(os.getpid())
    assert rss is not None
    assert rss > 1_000_000


def test_a_process_that_is_gone_has_none() -> None:
    """It may have died between the snapshot and the question."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    assert read_rss(child.pid) is None


def test_pids_that_cannot_be_are_nobodys() -> None:
    """A snapshot is not believed beyond reason."""
    assert read_rss(2**40) is None
    assert read_rss(-1) is None


def test_the_kernel_is_asked_once_a_second() -> None:
    """However many pages are open."""
    asked: list[int] = []

    def read(pid: int) -> int:
        asked.append(pid)
        return 100 * len(asked)

    memory = ResidentMemory(read)
    assert memory.of([1, 2], 10.0) == {1: 100, 2: 200}
    assert memory.of([1, 2], 10.9) == {1: 100, 2: 200}
    assert memory.of([2, 3], 10.9)[3] == 300
    assert asked == [1, 2, 3]
    assert memory.of([1], 11.0) == {1: 400}
