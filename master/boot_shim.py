"""
Starts the new code of a hot restart, and stands in for it if it cannot start.

This file is run by `python -c`, from the source that the *old* code had in
memory, and imports nothing but the standard library: it must work when the new
code does not. It knows the command line of the server, and nothing else of it.

    old code -- execve --> shim -- runs --> new code
                             |  which fails before it has taken over
                             +--> keeps the workers' parent alive, says so, and
                                  tries again on USR2

While the shim stands in, workers go on serving; nobody replaces one that dies.
"""

import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from typing import Any

# Set by the old code, removed by the new code when it has taken over.
HANDOVER_VARIABLE = "_PENSTOCK_HANDOVER"

# Set for a second attempt: what the first one was asked for has failed, and was told so.
RETRY_VARIABLE = "_PENSTOCK_RETRY"

HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

# What workers may take beyond their own drain deadline, which the shim does not know.
STOP_DEADLINE_S = 40.0

# Of what the admin process is told: a message, not the traceback, which is in the log.
REASON_CHARS_MAX = 4096


def run_new_code(command: "list[str]") -> None:
    """Run what `command` would run if the interpreter had been started with it."""
    is_module = command[0] == "-m"
    if not sys.flags.safe_path:
        # What the interpreter does for -m and for a script; for -c it was "".
        sys.path[0] = os.getcwd() if is_module else os.path.dirname(os.path.realpath(command[0]))
    if is_module:
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


def say(text: str) -> None:
    """Write to standard error, where the log of most servers goes."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    sys.stderr.write(f"{stamp} [{os.getpid()}] ERROR {text}\n")
    sys.stderr.flush()


class Watchdog:
    """Tells the service manager that this process lives, which else would end it, workers and all."""

    def __init__(self) -> None:
        # Read before the new code runs, which takes them out of the environment.
        self.address = os.environ.get("NOTIFY_SOCKET", "")
        usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
        is_meant = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        self.period_s = int(usec) / 2e6 if is_meant else None
        self.environ = {
            name: os.environ[name]
            for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
            if name in os.environ
        }

    def tell(self, message: str) -> None:
        """Send one notification; nobody may be listening."""
        if self.address[:1] not in ("/", "@"):
            return
        address = chr(0) + self.address[1:] if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(message.encode("utf-8", "replace"), address)
        except OSError:
            pass

    def wait(self) -> int:
        """Wait for a signal, and tell meanwhile that we live. Returns the signal's number."""
        while self.period_s is not None:
            self.tell("WATCHDOG=1")
            received = signal.sigtimedwait(HANDLED, self.period_s)
            if received is not None:
                return received.si_signo
        return signal.sigwait(HANDLED)


def stand_in(arguments: "list[str]", why: str, watchdog: Watchdog) -> int:
    """Keep the workers' parent alive until told to try again or to stop. Returns the exit status."""
    os.environ.update(watchdog.environ)  # for the next attempt
    try:
        with open(f"/proc/self/fd/{os.environ[HANDOVER_VARIABLE]}") as file:
            handover = json.load(file)
        children = {worker["pid"] for worker in handover["workers"]}
    except Exception:  # An unreadable text says at least nothing against living on.
        traceback.print_exc()
        handover, children = {}, set()
    tell_admin(handover, why)
    say("hot restart: the new code did not start; the old workers go on serving; USR2 tries again")
    watchdog.tell(
        "READY=1\nSTATUS=the new code of the hot restart did not start; the old workers go on serving"
    )
    while True:
        # The signals are blocked since before execve, so each waits until it is asked for.
        number = watchdog.wait()
        if number == signal.SIGUSR2:
            try_again(arguments, handover.get("directory", "."))
        if number == signal.SIGCHLD:
            reap(children)
        if number in STOPPING:
            break
    watchdog.tell("STOPPING=1")
    stop(children, signal.SIGKILL if number == signal.SIGQUIT else signal.SIGTERM)
    remove_files(handover)
    return 0


def tell_admin(handover: "dict[str, Any]", why: str) -> None:
    """Tell the admin process, whom operators ask. The old code made the message, but for the reason."""
    reason = why[:REASON_CHARS_MAX].encode("utf-8", "replace")
    # What msgpack puts before a string of any length.
    notice = (
        bytes.fromhex(handover.get("stand_in_notice", "")) + b"\xdb" + len(reason).to_bytes(4, "big") + reason
    )
    for admin in handover.get("admins", ()) if handover.get("stand_in_notice") else ():
        try:
            os.write(admin["channel_fd"], notice)
        except OSError:
            pass  # It is gone or reads nothing; the log says it too.


def try_again(arguments: "list[str]", directory: str) -> None:
    """Start the new code once more, from where it is by name. Returns if not even that is possible."""
    say("hot restart: trying again")
    os.environ[RETRY_VARIABLE] = "1"
    try:
        os.chdir(directory)
        os.execvp(sys.orig_argv[0], [sys.orig_argv[0], *arguments])
    except OSError as error:
        say(f"hot restart: {error}")


def reap(children: "set[int]") -> None:
    """Collect the children that have ended."""
    try:
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            children.discard(pid)
    except ChildProcessError:
        children.clear()


def stop(children: "set[int]", number: int) -> None:
    """End the children, and come back when they are gone, late, or a second signal wants it at once."""
    until_s = time.monotonic() + STOP_DEADLINE_S
    for pid in list(children):
        os.kill(pid, number)
    while children and time.monotonic() < until_s:
        received = signal.sigtimedwait(HANDLED, 0.2)
        if received is not None and received.si_signo in STOPPING:
            break
        reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def remove_files(handover: "dict[str, Any]") -> None:
    """Remove the files that stood for the server: sockets and pidfile."""
    listeners = [*handover.get("listeners", ()), handover.get("control"), handover.get("admin_listener")]
    addresses = [listener["address"] for listener in listeners if listener]
    paths = [address.removeprefix("unix:") for address in addresses if address.startswith("unix:")]
    if handover.get("pidfile"):
        paths.append(handover["pidfile"][0])
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass


def main() -> int:
    """Run the new code; on its failure to take over, stand in for it."""
    command, arguments, watchdog = sys.argv[1:], sys.orig_argv[1:], Watchdog()
    try:
        run_new_code(command)
    except BaseException as error:  # SystemExit too: the command line may not be understood any more.
        if HANDOVER_VARIABLE not in os.environ:
            raise  # It had taken over, and this is its own end.
        if isinstance(error, SystemExit):
            why = "the new code ended with status " + str(error.code)
        else:
            why = "".join(traceback.format_exception_only(type(error), error)).strip()
            traceback.print_exc()
    else:
        why = "the new code ended by itself"
    if HANDOVER_VARIABLE not in os.environ:
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    return stand_in(arguments, why, watchdog)


if __name__ == "__main__":
    sys.exit(main())
