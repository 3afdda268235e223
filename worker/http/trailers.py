"""
Headers after the body: the extension `http.response.trailers`.

They go to clients that have asked for them with `TE: trailers`, after a chunked
body; those of any other are taken and dropped.
"""

from typing import TYPE_CHECKING

from penstock.worker.asgi.types import Message
from penstock.worker.http.fields import judge_name, judge_value
from penstock.worker.http.phases import DONE, STREAMING
from penstock.worker.http.reply import TrailedFraming
from penstock.worker.limits import TRAILER_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

# What must be known before the body, or would change what it is (RFC 9110, section 6.5.1).
FORBIDDEN = frozenset(
    b"""
    age authorization cache-control connection content-encoding content-length content-range content-type
    date expect expires host if-match if-modified-since if-none-match if-range if-unmodified-since
    keep-alive location max-forwards pragma proxy-authenticate proxy-authorization proxy-connection range
    retry-after set-cookie te trailer transfer-encoding upgrade vary warning www-authenticate
    """.split()
)


def promise_trailers(exchange: "Exchange") -> None:
    """Note that the app has promised trailers in its start, and whether the client takes them."""
    scope = exchange.scope
    exchange.wants_trailers = scope["http_version"] == "1.1" and any(
        name == b"te"
        and b"trailers" in (each.partition(b";")[0].strip(b" \t") for each in value.lower().split(b","))
        for name, value in scope["headers"]
    )
    if exchange.wants_trailers:
        exchange.is_plain = False  # The body has an end, but the response goes on.


async def send_trailers(exchange: "Exchange", message: Message) -> None:
    """Take trailers; with the last of them the response ends."""
    if not hasattr(exchange, "wants_trailers"):
        raise RuntimeError(
            "'http.response.trailers' out of order: the start of the response did not promise any"
        )
    fields = _fields(message)
    if exchange.phase == DONE:
        return  # Nobody wanted them, or the body had a length, or there was none.
    framing = exchange.framing if exchange.phase == STREAMING else None
    if framing is None or not framing.awaits_trailers:
        raise RuntimeError("'http.response.trailers' out of order: the body of the response is not complete")
    assert isinstance(framing, TrailedFraming)
    framing.trailers += fields
    if len(framing.trailers) > TRAILER_BYTES_MAX:
        raise ValueError(f"the trailers of the response are longer than {TRAILER_BYTES_MAX} bytes")
    if not message.get("more_trailers", False):
        end_with_trailers(exchange)


def end_with_trailers(exchange: "Exchange") -> None:
    """End a response with the trailers that there are."""
    assert isinstance(exchange.framing, TrailedFraming)
    exchange.write(b"", exchange.framing.end(), False)


def _fields(message: Message) -> bytes:
    parts: list[bytes] = []
    for name, value in message.get("headers", ()):
        judge_name(name)
        judge_value(value)
        if name.lower() in FORBIDDEN:
            raise ValueError(f"{name.decode()!r} cannot be a trailer: it must be known before the body")
        parts += (name, b": ", value, b"\r\n")
    return b"".join(parts)
