"""Readers are fenced where the machine needs it, by the kernel that is really here."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.shm import fence
from penstock.shm.fence import Membarrier, membarrier_of, reader_fence, register_writer

CHILDREN = Path(__file__).parent / "children"

# One call, or None where this machine's number for it is not known.
HERE = fence._NUMBERS.get(platform.machine())


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "i686"])
def test_machines_that_keep_the_order_need_nothing(machine: str) -> None:
    """No system call is made there."""
    assert membarrier_of(machine) is None


@pytest.mark.parametrize("machine", ["aarch64", "riscv64", "ppc64le"])
def test_other_machines_ask_the_kernel(machine: str) -> None:
    """Each by its own number."""
    assert isinstance(membarrier_of(machine), Membarrier)


def test_a_machine_that_nobody_knows_does_without() -> None:
    """The checksum carries there, and nothing fails."""
    unknown = membarrier_of("pdp11")
    assert unknown is not None
    assert not unknown.is_supported
    assert (unknown.register(), unknown.fence(), unknown.is_registered()) == (False, False, None)


def test_a_kernel_without_the_call_does_without() -> None:
    """As in a sandbox that does not let it through: ENOSYS, and no exception."""
    nothing = Membarrier(2**20)
    assert not nothing.is_supported
    assert (nothing.register(), nothing.fence(), nothing.is_registered()) == (False, False, None)


def test_the_kernel_fences_or_says_that_it_does_not() -> None:
    """
    The call itself, whatever this kernel offers, in a process that was not registered before.

    A forked child is registered as its parent is: the master is so for all of its workers.
    """
    said = subprocess.run(
        [sys.executable, CHILDREN / "membarrier.py"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert said in (["supported"] + ["True"] * 4, ["unsupported"])


def test_what_readers_and_writers_call_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, on one that has to ask the kernel, and on one that has nothing."""
    for membarrier in (fence._MEMBARRIER, Membarrier(HERE), Membarrier(None)):
        monkeypatch.setattr(fence, "_MEMBARRIER", membarrier)
        register_writer()
        reader_fence()
