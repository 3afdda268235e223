"""
The head of a response as it goes on to the client.

Pure. What concerns the hop to the upstream server stays behind; the framing is
ours, since pieces are cut anew.
"""

from penstock.worker.gateway.request_head import VIA, nominated
from penstock.worker.http.reply import BodyFraming
from penstock.worker.http.responses import NO_BODY, STATUS_LINES
from penstock.worker.limits import RESPONSE_NAMES_MAX

PASSED, DROPPED, NOMINATING, VIA_SO_FAR, LENGTH, DATE = range(6)

_FIELDS = {
    b"connection": NOMINATING,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"proxy-authenticate": DROPPED,
    b"te": DROPPED,
    b"trailer": DROPPED,
    b"transfer-encoding": DROPPED,
    b"upgrade": DROPPED,
    b"via": VIA_SO_FAR,
    b"content-length": LENGTH,
    b"date": DATE,
}
_fates: dict[bytes, int] = dict(_FIELDS)

Headers = list[tuple[bytes, bytes]]


def _fate(name: bytes) -> int:
    fate = _FIELDS.get(name.lower(), PASSED)
    if len(_fates) < RESPONSE_NAMES_MAX:
        _fates[name] = fate
    return fate


def passed_headers(headers: Headers) -> Headers:
    """Return the headers that are the client's business, with ours."""
    passed: Headers = []
    nominating: list[bytes] = []
    via = b""
    fates = _fates
    for field in headers:
        name, value = field
        try:
            fate = fates[name]
        except KeyError:
            fate = _fate(name)
        if fate in (PASSED, LENGTH, DATE):
            passed.append(field)
        elif fate == NOMINATING:
            nominating.append(value)
        elif fate == VIA_SO_FAR:
            via += value + b", "
    if nominating:
        names = nominated(nominating) - {b"content-length", b"date"}
        passed = [field for field in passed if field[0].lower() not in names]
    passed.append((b"via", via + VIA))
    return passed


def compose(
    status: int,
    headers: Headers,
    *,
    method: str,
    is_http10: bool,
    content_length: int | None,
    must_close: bool,
    date: bytes,
) -> tuple[bytes, BodyFraming, bool]:
    """
    Return the head, how the body is framed, and whether the connection ends after it.

    `content_length` is what the server has said of the body, None if it did not.
    """
    parts = [STATUS_LINES[status]]
    has_date = False
    length: bytes | None = None
    fates = _fates
    for name, value in headers:
        fate = fates.get(name, PASSED)
        if fate == LENGTH:
            length = value
            continue
        if fate == DATE:
            has_date = True
        parts += (name, b": ", value, b"\r\n")
    if not has_date:
        parts.append(date)
    is_silent = method == "HEAD" or status in NO_BODY
    if is_silent:
        framing = BodyFraming(is_silent=True)
        if length is not None and status != 204:
            parts += (b"content-length: ", length, b"\r\n")
    elif content_length is not None:
        framing = BodyFraming(left=content_length)
        parts.append(b"content-length: %d\r\n" % content_length)
    elif is_http10:
        framing = BodyFraming()
        must_close = True
    else:
        framing = BodyFraming(is_chunked=True)
        parts.append(b"transfer-encoding: chunked\r\n")
    if must_close:
        parts.append(b"connection: close\r\n")
    elif is_http10:
        parts.append(b"connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts), framing, must_close
