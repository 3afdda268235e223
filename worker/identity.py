"""
Who this worker is, for the code it hosts to read.

The worker's boot says it once, after the fork and before an app is imported;
the welcome service reads it. It knows nothing of sockets or metrics.
"""

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's place among the others."""

    slot: int = 0
    core: int | None = None  # None: not pinned
    generation: int = 1
    worker_count: int = 1  # as configured when this worker booted
    admin_address: str | None = None  # as it is shown, "127.0.0.1:9180"; None: no TCP side
    name: str = "penstock"
    # Whom to signal; a hot restart keeps it. Not the parent's pid: under another
    # server that may be the user's shell, which nobody should be advised to signal.
    master_pid: int | None = None


# What is told outside a worker: in a test, or when another server runs the app.
NOBODY = Identity()

_identity = NOBODY


def identity() -> Identity:
    """Return who this worker is; `NOBODY` when it was never told."""
    return _identity


def set_identity(new: Identity) -> None:
    """Tell this process who it is."""
    global _identity  # noqa: PLW0603 - one process has one identity
    _identity = new
