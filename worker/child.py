"""
What every forked child does first, whatever it is for.

Between fork and the child's own loop: signals, title, user, and the promise to
die with the master. Knows nothing of HTTP or of the control plane.
"""

import ctypes
import os
import signal
from collections.abc import Iterable
from types import FrameType

import setproctitle

# Every signal that the master gives a meaning.
MASTER_SIGNALS = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCHLD,
    }
)

# A terminal sends INT, QUIT and HUP to the whole process group: the master alone answers them.
_UNHEEDED = MASTER_SIGNALS - {signal.SIGTERM, signal.SIGCHLD}

_PR_SET_PDEATHSIG = 1


class MasterGone(Exception):
    """The master died before the child was ready to notice."""


def reset_signals() -> None:
    """
    Leave the master's signal handling behind, in a child whose signals are still blocked.

    Handlers first, then unblock: a signal that reaches a just-forked child
    would otherwise run the master's handler.
    """
    signal.set_wakeup_fd(-1)
    for number in MASTER_SIGNALS:
        signal.signal(number, _do_nothing if number in _UNHEEDED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that the hosted app runs would inherit: nobody could interrupt them."""


def settle(*, title: str, uid: int | None, gid: int | None, groups: Iterable[int], master_pid: int) -> None:
    """Be who the child is to be: its title in ps, its user, its end with the master's. Raises MasterGone."""
    setproctitle.setproctitle(title)
    drop_privileges(uid, gid, groups)
    die_with_master(master_pid)


def drop_privileges(uid: int | None, gid: int | None, groups: Iterable[int] = ()) -> None:
    """
    Become the configured user for good. Raises PermissionError.

    A user without a group, such as a number that has no entry, keeps the group
    that it has; what else the starter was a member of is not for it.
    """
    if gid is None and uid is not None:
        os.setgroups(sorted({os.getgid(), *groups}))
    if gid is not None:
        os.setgroups(sorted({gid, *groups}))
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


def die_with_master(master_pid: int) -> None:
    """
    Have the kernel kill this process when the master is gone. Raises MasterGone.

    The backstop for a hung child; a healthy one sees its lifeline close and
    leaves in order. A change of user clears the setting, so it comes after that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != master_pid:
        raise MasterGone
