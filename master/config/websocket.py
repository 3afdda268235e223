"""
WebSockets of a listener: what their clients may send, and how they are asked whether they are there.
"""

from typing import Annotated

from msgspec import Meta, field

from penstock.master.config.record import Duration, Record, Size, says

# A message is one piece of memory, for each client that sends one.
MESSAGE_BYTES_MAX = 2 * 1024**3
# Such a queue is as good as none: what waits is bounded in bytes, too.
QUEUE_COUNT_MAX = 65_536


class WebSocket(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """WebSockets, for the apps of a listener's routes."""

    message_bytes: Annotated[
        Size, says("The longest message, as it is without compression; beyond: closed with 1009.")
    ] = field(default=16 * 1024 * 1024, name="max_message")
    queue_count: Annotated[
        int,
        Meta(ge=1, le=QUEUE_COUNT_MAX),
        says("So many messages wait for the app; beyond, and beyond 64 KiB, nothing more is read."),
    ] = field(default=32, name="max_queue")
    ping_interval_s: Annotated[Duration | None, says("How often a client is pinged; none: never.")] = field(
        default=20.0, name="ping_interval"
    )
    ping_timeout_s: Annotated[
        Duration | None,
        says("How long nothing may come after a ping; beyond: closed with 1011. none: for ever."),
    ] = field(default=20.0, name="ping_timeout")
    deflate: Annotated[bool, says("Compress messages for clients that offer it (permessage-deflate).")] = True
