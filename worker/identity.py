"""
Who this worker is, for the code it hosts to read.

The worker's boot says it once, after the fork and before an app is imported;
the welcome service and logs read it. It knows nothing of sockets or metrics.
"""

import os

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's place among the others."""

    slot: int = 0
    core: int | None = None  # None: not pinned
    generation: int = 1
    worker_count: int = 1  # as configured when this worker booted
    admin_address: str | None = None  # as it is shown, "127.0.0.1:9180"; None: no TCP side
    name: str = "penstock"
    # The parent of the process that builds the record, which in a worker is the
    # master; a hot restart keeps it. None: there is no master to signal.
    master_pid: int | None = msgspec.field(default_factory=os.getppid)


# What is told outside a worker: a test, or an app run by another server, whose
# parent is a stranger that nobody should be advised to signal.
NOBODY = Identity(master_pid=None)

_identity = NOBODY


def identity() -> Identity:
    """Return who this worker is; `NOBODY` when it was never told."""
    return _identity


def set_identity(new: Identity) -> None:
    """Tell this process who it is."""
    global _identity  # noqa: PLW0603 - one process has one identity
    _identity = new
