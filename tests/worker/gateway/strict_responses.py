"""
Reads the head of a response as strictly as RFC 9112 has it, and what its framing is.

Written without a look at the server.
"""

import re

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) %b\r\n" % TEXT)
FIELD = re.compile(rb"(%b): ?(%b)\r\n" % (TOKEN, TEXT))


def read_head(data: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Return status and fields of bytes that are one head and nothing else, or fail."""
    line = LINE.match(data)
    assert line is not None, data
    at = line.end()
    fields = []
    while (match := FIELD.match(data, at)) is not None:
        fields.append((match[1].lower(), match[2].strip(b" \t")))
        at = match.end()
    assert data[at:] == b"\r\n", data
    return int(line[1]), fields


def framing_of(method: str, status: int, fields: list[tuple[bytes, bytes]]) -> str | int:
    """Return "none", "chunked", "close" or a number of bytes (RFC 9112, section 6.3)."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    assert not (lengths and codings)
    assert len(lengths) <= 1
    assert len(codings) <= 1
    if status < 200 or status == 204:
        assert not lengths
        assert not codings
        return "none"
    if method == "HEAD" or status == 304:
        return "none"
    if codings:
        assert codings == [b"chunked"]
        return "chunked"
    return int(lengths[0]) if lengths else "close"
