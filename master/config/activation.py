"""
Sockets that the service manager has opened, as sd_listen_fds(3) has it.

They come as descriptors from 3 on, with $LISTEN_FDS saying how many and
$LISTEN_PID for whom. What is said there is for the master alone, so it is kept
under a name of our own, which a hot restart passes on.
"""

import os
from collections.abc import Mapping, MutableMapping

FIRST_FD = 3

# Who has more sockets than this has a mistake in $LISTEN_FDS.
SOCKETS_MAX = 256

# How many sockets came, once it is known that they came for us.
VARIABLE = "_PENSTOCK_SOCKETS"

_GIVEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def claim_sockets(environ: MutableMapping[str, str]) -> None:
    """Take the service manager's variables out of the environment, and note what they say if it is for us."""
    pid, count, *_ = (environ.pop(name, "") for name in _GIVEN)
    if pid == str(os.getpid()) and count.isdecimal() and 0 < int(count) <= SOCKETS_MAX:
        environ[VARIABLE] = count


def inherited_fds(environ: Mapping[str, str]) -> range:
    """List the descriptors of the sockets that came."""
    count = environ.get(VARIABLE, "")
    return range(FIRST_FD, FIRST_FD + int(count)) if count.isdecimal() else range(0)
