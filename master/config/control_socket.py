"""
Where the control socket of a server is, so that `penstock status` finds it.

Pure: nothing is created or looked at here. The master binds `control_path`;
the commands look through `control_directories`.
"""

from collections.abc import Mapping
from pathlib import Path as FilePath

from penstock.master.config.bind import FdBind, UnixBind
from penstock.master.config.model import Config

PREFIX, SUFFIX = "penstock-", ".sock"


def control_path(
    config: Config, uid: int, environ: Mapping[str, str], *, port: int | None = None
) -> FilePath:
    """
    Name the control socket of a server that runs as `uid`.

    `port` is the port that was bound when the configuration leaves it to the
    kernel (port 0); without it two such servers would share a name.
    """
    if config.control is not None:
        return FilePath(config.control)
    return control_directories(uid, environ)[0] / f"{PREFIX}{instance_name(config, port)}{SUFFIX}"


def control_directories(uid: int, environ: Mapping[str, str]) -> list[FilePath]:
    """
    List where control sockets may be, the place for new ones first.

    The commands look in all: the shell of a user has $XDG_RUNTIME_DIR, but a
    service of the same user, or a cron job, may have been started without.
    """
    directories = []
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        directories.append(FilePath(runtime))
    directories.append(FilePath("/run/penstock") if uid == 0 else FilePath(f"/tmp/penstock-{uid}"))
    return directories


def instance_name(config: Config, port: int | None = None) -> str:
    """Name a server: by its name, else by the first thing it listens on."""
    if config.name is not None:
        return config.name
    number = port or config.first_port
    if number is not None:
        return str(number)
    address = config.listeners[0].address
    if isinstance(address, UnixBind):
        return FilePath(address.path).stem or "unix"
    assert isinstance(address, FdBind)
    return f"fd{address.fd}"
