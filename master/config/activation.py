"""
Sockets that the service manager has opened, as sd_listen_fds(3) has it.

They come as descriptors from 3 on, with $LISTEN_FDS saying how many, $LISTEN_PID
for whom and $LISTEN_FDNAMES what they are called. What is said there is for the
master alone, so it is kept under names of our own, which a hot restart passes on.
"""

import os
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

FIRST_FD = 3

# Who has more sockets than this has a mistake in $LISTEN_FDS.
SOCKETS_MAX = 256

# How many sockets came, once it is known that they came for us, and their names.
VARIABLE = "_PENSTOCK_SOCKETS"
NAMES_VARIABLE = "_PENSTOCK_SOCKET_NAMES"

_GIVEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def claim_sockets(environ: MutableMapping[str, str]) -> None:
    """Take the service manager's variables out of the environment, and note what they say if it is for us."""
    pid, count, names, *_ = (environ.pop(name, "") for name in _GIVEN)
    if pid == str(os.getpid()) and count.isdecimal() and 0 < int(count) <= SOCKETS_MAX:
        environ[VARIABLE] = count
        environ[NAMES_VARIABLE] = names


def disclaim_sockets(environ: MutableMapping[str, str]) -> None:
    """Forget the note: in a child, whose app may start a server of its own, with other descriptors."""
    for variable in (VARIABLE, NAMES_VARIABLE):
        environ.pop(variable, None)


def inherited_fds(environ: Mapping[str, str]) -> range:
    """List the descriptors of the sockets that came."""
    count = environ.get(VARIABLE, "")
    return range(FIRST_FD, FIRST_FD + int(count)) if count.isdecimal() else range(0)


def named_fds(environ: Mapping[str, str], name: str) -> list[int]:
    """List the sockets of this name: systemd gives all of one unit the same, if it is not told another."""
    return [fd for fd, each in _named(environ) if each == name]


def socket_names(environ: Mapping[str, str]) -> list[str]:
    """List the names that there are, each once."""
    return sorted({name for _, name in _named(environ)})


def _named(environ: Mapping[str, str]) -> list[tuple[int, str]]:
    names = environ.get(NAMES_VARIABLE, "")
    return list(zip(inherited_fds(environ), names.split(":"), strict=False)) if names else []


def set_sockets_inheritable(environ: Mapping[str, str], is_inheritable: bool) -> None:
    """Keep the sockets out of the programs that apps run, or let them pass to the next image."""
    for fd in inherited_fds(environ):
        with suppress(OSError):  # Fewer came than were announced.
            os.set_inheritable(fd, is_inheritable)
