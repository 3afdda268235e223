"""Readers are fenced where the machine needs it, by the kernel that is really here."""

import os
import platform

import pytest

from penstock.shm import fence
from penstock.shm.fence import Membarrier, membarrier_of, reader_fence, register_writer

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
    The call itself, whatever this kernel offers.

    Registering in a child of its own, so that the test leaves no trace here.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            here = Membarrier(HERE)
            before = here.is_registered()
            assert before in (False, None)
            assert here.register() == here.is_supported
            assert here.fence() == here.is_supported
            assert here.is_registered() in ((True, None) if here.is_supported else (False, None))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_readers_and_writers_call_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, on one that has to ask the kernel, and on one that has nothing."""
    for membarrier in (fence._MEMBARRIER, Membarrier(HERE), Membarrier(None)):
        monkeypatch.setattr(fence, "_MEMBARRIER", membarrier)
        register_writer()
        reader_fence()
