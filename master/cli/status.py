"""`penstock status`: the process tree and the listeners of a running server, as tables."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from penstock.master.cli.control import ControlError, ask, live_sockets
from penstock.master.cli.report import Status, status_tables
from penstock.master.cli.slow import slow_table
from penstock.master.config.control_socket import PREFIX, SUFFIX, control_directories

EXIT_OK, EXIT_NO_ANSWER, EXIT_USAGE = 0, 1, 2


def show_status(control: str | None, *, as_json: bool, slow: bool = False) -> int:
    """Ask a running server for its status, or its slow requests, and print it; answers the exit status."""
    try:
        body = ask(find_control(control, os.getuid(), os.environ), "/slow" if slow else "/status")
        if as_json:
            text = body.decode()
        elif slow:
            text = slow_table(body)
        else:
            text = status_tables(msgspec.json.decode(body, type=Status), time.time())
    except ControlError as error:
        click.echo(f"penstock: {error}", err=True)
        return EXIT_NO_ANSWER
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        click.echo(f"penstock: the answer is no status: {error}", err=True)
        return EXIT_NO_ANSWER
    click.echo(text.rstrip("\n"))
    return EXIT_OK


def find_control(control: str | None, uid: int, environ: Mapping[str, str]) -> Path:
    """
    Find the control socket of the one running server.

    Raises ControlError when there is none, and UsageError, with a list, when there are several.
    """
    if control is not None:
        return Path(control)
    directories = control_directories(uid, environ)
    found = live_sockets(directories, PREFIX, SUFFIX)
    if not found:
        raise ControlError(
            f"no running server: no control socket in {_joined(directories)}; name one with --control"
        )
    if len(found) > 1:
        names = "\n".join(f"  --control {path}" for path in found)
        raise click.UsageError(f"several servers are running; choose one:\n{names}")
    return found[0]


def _joined(directories: Sequence[Path]) -> str:
    return " or ".join(str(each) for each in directories)
