"""
What a client may fetch while the app is still at work: the extension `http.response.early_hint`.

A response with status 103 (RFC 8297), sent before the one that counts. Clients of
HTTP/1.0 know no such thing, and get none.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import Message
from penstock.worker.http.fields import judge_value
from penstock.worker.http.phases import DONE, STREAMING
from penstock.worker.limits import EARLY_HINT_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange


async def send_early_hint(exchange: "Exchange", message: Message) -> None:
    """Take a message of links. One that comes when the response is under way is too late, and dropped."""
    hint = early_hint(message.get("links", ()))
    if exchange.phase == DONE:
        raise RuntimeError("'http.response.early_hint' out of order: the response is complete")
    if hint and exchange.phase < STREAMING and exchange.scope["http_version"] == "1.1":
        connection = exchange.connection
        connection.site.sent_bytes += len(hint)
        connection.transport.write(hint)


def early_hint(links: Iterable[bytes]) -> bytes:
    """Write the response; nothing for no links. Raises ValueError or TypeError for one that is none."""
    parts = [b"HTTP/1.1 103 Early Hints\r\n"]
    for link in links:
        judge_value(link)
        parts += (b"link: ", link, b"\r\n")
    if len(parts) == 1:
        return b""
    hint = b"".join((*parts, b"\r\n"))
    if len(hint) > EARLY_HINT_BYTES_MAX:
        raise ValueError(f"an early hint is longer than {EARLY_HINT_BYTES_MAX} bytes")
    return hint
