"""
What a master hands to the code that takes its place in the same process.

Versioned JSON in a memfd. Everything but the text stays where it is: the
descriptors are inherited under their numbers and the workers remain children.
"""

import os
from typing import Literal

import msgspec

from penstock.master.operations import Operation
from penstock.worker.messages import Found

HANDOVER_VERSION = 1

# The variable that names the memfd, for the new image to find.
HANDOVER_VARIABLE = "_PENSTOCK_HANDOVER"


class HandoverError(Exception):
    """The text is not a hand-over that this code can accept."""


class HeldListener(msgspec.Struct, frozen=True, kw_only=True):
    """A listener and the descriptors of its shards."""

    name: str
    address: str
    backlog: int
    fds: tuple[int, ...]


class HeldWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that goes on running. Times are of the monotonic clock, which exec leaves alone."""

    pid: int
    slot: int
    generation: int
    row: int
    core: int | None
    state: Literal["starting", "ready", "draining"]
    since_s: float
    spawned_s: float
    is_killed: bool
    drain_reason: str | None  # why it was told to go
    channel_fd: int | None
    can_take: bool = False  # a release before this knew nothing of it, nor of the next two
    stacks_fd: int | None = None
    silent_since_s: float | None = None


class HeldAdmin(msgspec.Struct, frozen=True, kw_only=True):
    """The admin process, which answers until its successor is ready."""

    pid: int
    row: int
    channel_fd: int


class HeldGeneration(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a generation whose code is gone."""

    number: int
    addresses: tuple[str, ...]
    drain_timeout_s: float
    access_path: str | None = None  # a release before this knew nothing of it


class HeldShard(msgspec.Struct, frozen=True, kw_only=True):
    """Who accepts on a shard."""

    address: str
    index: int
    pids: tuple[int, ...]


class HeldName(msgspec.Struct, frozen=True, kw_only=True):
    """What the name of an upstream's server stood for."""

    upstream: str
    server: str
    found: tuple[Found, ...]


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """The master's whole state."""

    version: int = HANDOVER_VERSION
    name: str
    directory: str  # where the server was started, by name
    started_at_s: float  # wall-clock time of the first start
    last_generation: int
    slot_count: int
    configured_workers: int | Literal["auto"]
    master_row: int
    worker_restarts: dict[str, int]
    reload_failures: int
    segment_fd: int
    lifeline_fds: tuple[int, int]
    listeners: tuple[HeldListener, ...]
    control: HeldListener
    admin_listener: HeldListener | None
    pidfile: tuple[str, int] | None
    admin_account: tuple[int | None, int | None]
    workers: tuple[HeldWorker, ...]
    admins: tuple[HeldAdmin, ...]
    generations: tuple[HeldGeneration, ...]
    shards: tuple[HeldShard, ...]
    ancestor_fds: tuple[int, ...] = ()  # segments before that one, oldest first, whose counts are not in it
    segment_resets: int = 0
    names: tuple[HeldName, ...] = ()
    operations: tuple[Operation, ...] = ()  # those under way, whose outcome the new image decides
    # What the boot shim tells the admin processes if there is no new image: hexadecimal, up to the reason.
    stand_in_notice: str = ""

    def descriptors(self) -> list[int]:
        """List every descriptor that the new image needs."""
        listeners = (*self.listeners, self.control, *([self.admin_listener] if self.admin_listener else []))
        return [
            self.segment_fd,
            *self.ancestor_fds,
            *self.lifeline_fds,
            *(fd for listener in listeners for fd in listener.fds),
            *([self.pidfile[1]] if self.pidfile else []),
            *(worker.channel_fd for worker in self.workers if worker.channel_fd is not None),
            *(worker.stacks_fd for worker in self.workers if worker.stacks_fd is not None),
            *(admin.channel_fd for admin in self.admins),
        ]


def write_handover(handover: Handover) -> int:
    """Put the text into a memfd and return its descriptor."""
    fd = os.memfd_create("penstock-handover", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(msgspec.json.encode(handover))
    return fd


def read_handover(fd: int) -> Handover:
    """Read the text, and leave the descriptor open for another attempt. Raises HandoverError."""
    try:
        handover = msgspec.json.decode(os.pread(fd, os.fstat(fd).st_size, 0), type=Handover)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HandoverError(f"unreadable hand-over: {error}") from error
    if handover.version != HANDOVER_VERSION:
        raise HandoverError(f"hand-over of version {handover.version}, expected {HANDOVER_VERSION}")
    return handover
