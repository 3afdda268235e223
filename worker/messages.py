"""
What the master and its children say to each other.

One message is one datagram. Both ends may come from different releases (a hot
restart adopts running workers), so every datagram starts with a version byte,
and a message that is not understood is dropped with a warning by the caller,
never guessed at.
"""

from typing import TypeVar

import msgspec

from penstock.worker.gateway.spec import ServerSpec

MESSAGES_VERSION = 1


class MessageError(Exception):
    """The datagram is not a message of this version. Says what it was."""


# From the master to a child.


class Adopt(msgspec.Struct, frozen=True, tag="adopt"):
    """
    Accept on these shards of a listener; the descriptors come along, in this order.

    A listener is named by its address as configured.
    """

    listener: str
    shards: tuple[int, ...]


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Stop accepting on these shards of a listener."""

    listener: str
    shards: tuple[int, ...]


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """
    Accept nothing new, finish what is in flight, exit.

    `orphaned` names listeners that no sibling serves: the child first empties
    their accept queues, since nobody else will. `is_last` says that there is no
    sibling at all. `can_give` says that what is idle can be given to siblings:
    the master passes it on.
    """

    timeout_s: float
    is_last: bool = False
    orphaned: tuple[str, ...] = ()
    can_give: bool = False


class Take(msgspec.Struct, frozen=True, tag="take"):
    """
    These idle connections of a listener are yours; the descriptors come along, in this order.

    `left_ms` says how long each may yet be silent. `is_returned` says that they
    were given by this very child, and nobody could take them.
    """

    listener: str
    left_ms: tuple[int, ...]
    is_returned: bool = False


class TakeTold(Take, frozen=True, tag="take_told"):
    """
    A Take with what proxies have told of each connection: a header of PROXY version 2, or nothing.

    A message of its own, so that a release that would forget it, and take a load
    balancer for the client, does not understand and closes the connections.
    """

    told: tuple[bytes, ...] = ()


class ReopenLog(msgspec.Struct, frozen=True, tag="reopen_log"):
    """Write the log to the descriptor that comes along."""


class ReopenAccess(msgspec.Struct, frozen=True, tag="reopen_access"):
    """Write the access log to the descriptor that comes along."""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """What the master knows, for the admin process: a FleetStatus in JSON."""

    status: bytes


class StandIn(msgspec.Struct, frozen=True, tag="stand_in"):
    """
    To the admin process: the new code of a hot restart did not start, and why.

    Sent by the boot shim, which has no msgspec; `reason` is the last field.
    """

    reason: str


class Members(msgspec.Struct, frozen=True, tag="members"):
    """To a worker: an upstream has these servers now."""

    upstream: str
    servers: tuple[ServerSpec, ...]


# From a child to the master.


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child can serve: app imported, lifespan started, loop answering."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The child cannot serve, and exits. `reason` is one line; `detail` may be a traceback."""

    reason: str
    detail: str = ""


class Released(msgspec.Struct, frozen=True, tag="released"):
    """A draining child accepts on no shard any more."""


class Give(msgspec.Struct, frozen=True, tag="give"):
    """From a draining worker: idle connections of a listener, for a sibling to take. See Take."""

    listener: str
    left_ms: tuple[int, ...]


class GiveTold(Give, frozen=True, tag="give_told"):
    """A Give with what proxies have told of each connection. See TakeTold."""

    told: tuple[bytes, ...] = ()


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """From the admin process: the operator wants this done. The ticket is to be the operation's id."""

    verb: str
    argument: int | None
    ticket: str


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """From the reloader: so many files have changed, of which some are named."""

    paths: tuple[str, ...]
    count: int


class Found(msgspec.Struct, frozen=True):
    """A server that a name stands for: its address; its weight and priority, where the name tells any."""

    address: str
    weight: int | None = None
    priority: int = 0


class Resolved(msgspec.Struct, frozen=True, tag="resolved"):
    """From the admin process: what the name of an upstream's server, as configured, stands for now."""

    upstream: str
    server: str
    found: tuple[Found, ...]


ToChild = Adopt | Release | Drain | Take | TakeTold | ReopenLog | ReopenAccess | Snapshot | StandIn | Members
ToMaster = Ready | Failed | Released | Give | GiveTold | Ask | Changed | Resolved

_encoder = msgspec.msgpack.Encoder()
_child_decoder: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_master_decoder: msgspec.msgpack.Decoder[ToMaster] = msgspec.msgpack.Decoder(ToMaster)

T = TypeVar("T")


def encode(message: ToChild | ToMaster) -> bytes:
    """Turn a message into the bytes of one datagram."""
    return bytes([MESSAGES_VERSION]) + _encoder.encode(message)


def stand_in_prefix() -> bytes:
    """Encode a StandIn up to its reason, which somebody without msgspec is to add."""
    empty = encode(StandIn(""))
    assert empty.endswith(b"\xa0"), "an empty string is one byte, and the last"
    return empty[:-1]


def decode_for_child(datagram: bytes) -> ToChild:
    """Read what the master sent. Raises MessageError."""
    return _decode(_child_decoder, datagram)


def decode_for_master(datagram: bytes) -> ToMaster:
    """Read what a child sent. Raises MessageError."""
    return _decode(_master_decoder, datagram)


def _decode(decoder: "msgspec.msgpack.Decoder[T]", datagram: bytes) -> T:
    if not datagram or datagram[0] != MESSAGES_VERSION:
        raise MessageError(f"a message of version {datagram[:1].hex() or 'none'}, not {MESSAGES_VERSION}")
    try:
        return decoder.decode(datagram[1:])
    # msgspec lets these two through: text that is not UTF-8, and a thousand nested lists.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"not a message: {error}") from error
