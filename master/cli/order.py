"""
`penstock reload`, `upgrade`, `scale`, `recycle` and `drain`: give an order and wait for its outcome.

The order goes over the control socket and its outcome is polled from `/status`,
with a connection for each question: a hot restart replaces the process that answers.
"""

import os
import select
import time
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec

from penstock.master.cli.control import ControlError, ServerGone, ask, order
from penstock.master.cli.status import EXIT_NO_ANSWER, EXIT_OK, find_control
from penstock.master.operations import Operation
from penstock.master.verbs import VERBS

# Two boots that use up their time, and a drain; a fleet that needs longer is told of by --timeout.
TIMEOUT_S = 600.0
POLL_S = 0.1
# The master tells the admin process of an order in milliseconds, unless it is reading a large configuration.
UNKNOWN_S = 30.0
# The control socket is closed last; what is left of the process then is the interpreter's own end.
END_S = 5.0


class _Master(msgspec.Struct, frozen=True, kw_only=True):
    pid: int


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is of interest here of `/status`."""

    master: _Master
    operations: tuple[Operation, ...] = ()


class _Accepted(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class OrderFailed(Exception):
    """It was not done, or nobody knows. The text is for a person."""


def give_order(verb: str, argument: int | None, control: str | None, timeout_s: float | None) -> int:
    """Give the order, wait, tell the outcome; answers the exit status."""
    until_s = time.monotonic() + (TIMEOUT_S if timeout_s is None else timeout_s)
    try:
        path = find_control(control, os.getuid(), os.environ)
        result = _stop(path, until_s) if verb == "drain" else _do(path, verb, argument, until_s)
    except (ControlError, OrderFailed) as error:
        click.echo(f"penstock: {verb}: {error}", err=True)
        return EXIT_NO_ANSWER
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        click.echo(f"penstock: {verb}: the answer makes no sense: {error}", err=True)
        return EXIT_NO_ANSWER
    click.echo(result.rstrip("\n"))
    return EXIT_OK


def _do(path: Path, verb: str, argument: int | None, until_s: float) -> str:
    """Give the order and wait for its end; return what came of it. Raises OrderFailed, ControlError."""
    id = _begin(path, verb, argument)
    known_s = time.monotonic()
    was_seen = False
    while True:
        operation = _find(path, id)
        if operation is not None:
            was_seen, known_s = True, time.monotonic()
            if operation.state == "failed":
                raise OrderFailed(operation.reason or "failed, and nobody says why")
            if operation.state == "done":
                return operation.result or "done"
        elif time.monotonic() - known_s > UNKNOWN_S:
            if was_seen:
                raise OrderFailed("the server has forgotten it; nobody knows the outcome")
            raise OrderFailed(f"the server has not taken it up within {UNKNOWN_S:g} s; it may still do so")
        _wait(until_s)


def _begin(path: Path, verb: str, argument: int | None) -> str:
    name = VERBS[verb].argument
    query = "" if name is None else "?" + urlencode({name: argument})
    return msgspec.json.decode(order(path, f"/control/{verb}{query}"), type=_Accepted).id


def _find(path: Path, id: str) -> Operation | None:
    """Look for the operation. An answer that does not come is waited for: who answers may be replaced."""
    try:
        status = msgspec.json.decode(ask(path, "/status"), type=_Status)
    except ServerGone:
        raise OrderFailed("the server has stopped") from None
    except ControlError:
        return None
    return next((each for each in status.operations if each.id == id), None)


def _wait(until_s: float) -> None:
    if time.monotonic() + POLL_S > until_s:
        raise OrderFailed("no outcome yet; it goes on, and `penstock status --json` will tell")
    time.sleep(POLL_S)


def _stop(path: Path, until_s: float) -> str:
    """Have the server stopped and wait until it is gone. Raises OrderFailed, ControlError."""
    pid = msgspec.json.decode(ask(path, "/status"), type=_Status).master.pid
    try:
        # Held from before the order, so that it is not another process by then.
        process = os.pidfd_open(pid)
    except OSError:
        process = -1  # The server counts its pids otherwise: it is in a container, and this command is not.
    try:
        id = _begin(path, "drain", None)
        while not _is_gone(path, id):
            _wait(until_s)
        if process >= 0:
            select.select([process], [], [], max(0.0, min(END_S, until_s - time.monotonic())))
    finally:
        if process >= 0:
            os.close(process)
    return "the server has stopped"


def _is_gone(path: Path, id: str) -> bool:
    """Whether nobody holds the control socket any more, which the master closes last."""
    try:
        operations = msgspec.json.decode(ask(path, "/status"), type=_Status).operations
    except ServerGone:
        return True
    except ControlError:
        return False
    found = next((each for each in operations if each.id == id), None)
    if found is not None and found.state == "failed":
        raise OrderFailed(found.reason)
    return False
