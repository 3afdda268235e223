"""
Hot restart: check the new code in a child, then become it.

The process stays the same one, so whoever supervises it notices nothing. Until
execve has succeeded nothing is given up, so every failure leaves the old code
in charge; after it, boot_shim.py stands in for new code that does not start.
"""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from penstock.master import boot_shim
from penstock.master.command_line import CommandLine
from penstock.master.config.activation import set_sockets_inheritable
from penstock.master.crew import Exit, kill
from penstock.master.handover import HANDOVER_VARIABLE, HANDOVER_VERSION, Handover, write_handover
from penstock.worker.logs import LOG

# "<hand-over version>:<segment's descriptor>": what the new code must be able to accept.
PREFLIGHT_VARIABLE = "_PENSTOCK_PREFLIGHT"
PREFLIGHT_TIMEOUT_S = 120.0

# The end of a long traceback says most.
REPORT_BYTES_MAX = 16 * 1024


class Upgrade:
    """A hot restart on its way, or none."""

    def __init__(self, directory: str, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self._environ = dict(environ)
        self._command_line = CommandLine.of_this_process()
        # Read now: by the time it is needed, the file may be another release's, or gone.
        self._shim = inspect.getsource(boot_shim)
        self._process: subprocess.Popen[bytes] | None = None
        self._report_fd = -1
        self.deadline_s: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether new code is being checked."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The process that checks it."""
        return self._process.pid if self._process is not None else None

    def start(self, segment_fd: int) -> str | None:
        """Begin to check what is on disk now. Returns why that cannot be, or None."""
        assert self._process is None, "one at a time"
        if self._command_line is None:
            return "this program was not started from a file, so it cannot be started again"
        LOG.info("hot restart: checking the new code")
        self._report_fd = os.memfd_create("penstock-preflight", os.MFD_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                [_executable(), *self._command_line.flags, *self._command_line.command],
                cwd=self.directory,
                env=self._environ | {PREFLIGHT_VARIABLE: f"{HANDOVER_VERSION}:{segment_fd}"},
                stdin=subprocess.DEVNULL,
                stdout=self._report_fd,
                stderr=self._report_fd,
                pass_fds=(segment_fd,),
            )
        except OSError as error:
            os.close(self._report_fd)
            return f"cannot run the new code: {error}"
        self.deadline_s = time.monotonic() + PREFLIGHT_TIMEOUT_S
        return None

    def tick(self, now_s: float) -> None:
        """End a check that takes too long; its exit is then judged as any other."""
        if self.deadline_s is not None and now_s >= self.deadline_s:
            self.deadline_s = None
            self._kill()

    def judge(self, exit: Exit) -> str | None:
        """Take the check's outcome: None for passed, else what it said."""
        assert self._process is not None
        # It was reaped by the master's own loop; without this Popen would warn.
        self._process.returncode = os.waitstatus_to_exitcode(exit.status)
        self._process = None
        self.deadline_s = None
        report = os.pread(self._report_fd, 2**20, 0)[-REPORT_BYTES_MAX:].decode("utf-8", "replace").strip()
        os.close(self._report_fd)
        return None if exit.status == 0 else f"the new code's check {exit}:\n{report}"

    def cancel(self) -> None:
        """Stop a check whose outcome nobody wants any more."""
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            kill(self._process.pid, signal.SIGKILL)

    def execute(self, handover: Handover) -> str:
        """
        Become the new code. Returns only if that fails, with the reason.

        The caller has blocked the signals.
        """
        assert self._command_line is not None, "it was checked"
        LOG.info("hot restart: starting the new code")
        handover_fd = write_handover(handover)
        inherited = [handover_fd, *handover.descriptors()]
        # Not by its path: a deployment may have removed the folder that we are in.
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for fd in inherited:
                os.set_inheritable(fd, True)
            set_sockets_inheritable(self._environ, True)
            # By name again: a deployment switches the symlink that the name leads through.
            os.chdir(self.directory)
            sys.stdout.flush()
            sys.stderr.flush()
            arguments = [*self._command_line.flags, "-c", self._shim, *self._command_line.command]
            os.execve(
                _executable(),
                [sys.orig_argv[0], *arguments],
                self._environ | {HANDOVER_VARIABLE: str(handover_fd)},
            )
        except OSError as error:
            failure = f"cannot start the new code: {error}"
        os.fchdir(here)
        os.close(here)
        for fd in inherited:
            os.set_inheritable(fd, False)
        set_sockets_inheritable(self._environ, False)
        os.close(handover_fd)
        return failure


def _executable() -> str:
    """Find the interpreter again, by the name that it was started with."""
    name = sys.orig_argv[0]
    return shutil.which(name) or sys.executable
