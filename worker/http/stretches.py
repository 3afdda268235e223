"""
A piece of a response that lies in a file: framed as any other, written by `pour`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from penstock.worker.http.phases import STARTED
from penstock.worker.http.pour import pour
from penstock.worker.http.reply import BodyFraming

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange


class Stretch(NamedTuple):
    """So many bytes of an open file, and what is written before them."""

    lead: bytes
    fd: int
    offset: int
    size: int


class BusyFraming(BodyFraming):
    """Stands in for a response's framing while a file is sent: nothing may come in between."""

    __slots__ = ()

    def frame(self, piece: bytes, *, is_last: bool = False) -> NoReturn:
        """Refuse."""
        raise RuntimeError("a file is being sent: await that before more of the response is sent")


async def send_stretches(
    exchange: "Exchange", stretches: Sequence[Stretch], tail: bytes = b"", *, more_body: bool = False
) -> None:
    """
    Send the head, if it waits, and stretches of files as the next piece of the
    body, or as all that is left of it.

    Raises RuntimeError if it does not fit the response, and what `pour` raises.
    """
    size = sum(len(each.lead) + each.size for each in stretches) + len(tail)
    if exchange.phase == STARTED:
        reply, head = exchange.compose(None if more_body else size, is_last=not more_body)
        before, after = reply.framing.around(size, is_last=not more_body)
        exchange.commit(reply)
    else:
        head = b""
        before, after = exchange.framing.around(size, is_last=not more_body)
    framing = exchange.framing
    head += before
    if not framing.is_silent:
        exchange.framing = BusyFraming(
            left=framing.left, is_chunked=framing.is_chunked, is_silent=framing.is_silent
        )
        try:
            for each in stretches:
                if each.size:
                    await pour(exchange, head + each.lead, each.fd, each.offset, each.size)
                    head = b""
                else:
                    head += each.lead
        finally:
            exchange.framing = framing
        head += tail + after
    exchange.assure_client()
    exchange.write(head, b"", more_body)
