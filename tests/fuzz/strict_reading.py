"""
Reads requests as strictly as the RFCs and our own decisions have it, whole and slowly.

Written without a look at the server, from the grammars: it has regular expressions for whole messages
where the server has states and shortcuts. What both say of the same bytes must be the same.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/1\.([01])\r\n" % TOKEN)
FIELD = re.compile(rb"(%b):[ \t]*(%b)\r\n" % (TOKEN, TEXT))
EXTENSION = (
    rb""";[ \t]*%b([ \t]*=[ \t]*(%b|"([\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?"""
    % (
        TOKEN,
        TOKEN,
    )
)
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(%b)*\r\n" % EXTENSION)
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})*)(:([0-9]{0,5}))?")
ABSOLUTE = re.compile(rb"([Hh][Tt][Tt][Pp])://([^/?#@]+)([/?][^#]*)?")
METHODS = frozenset(
    b"""
    ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY
    OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND
    UNLINK UNLOCK UNSUBSCRIBE
    """.split()
)
CHUNK_LINE_BYTES_MAX = 256
EXTENSION_BYTES_MAX = 16 * 1024

# Method, raw path, query, headers, body.
Request = tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]


class Refused(Exception):
    """This is no request, or not all of one."""


@dataclass
class Reading:
    """The requests that came whole, and whether there is more that has to be refused."""

    requests: list[Request] = field(default_factory=list)
    is_refused: bool = False


def read(data: bytes, *, header_bytes_max: int = 16 * 1024, header_count_max: int = 100) -> Reading:
    """Read all that a client has sent before its FIN."""
    reading = Reading()
    while True:
        while data.startswith(b"\r\n"):
            data = data[2:]
        if not data:
            return reading
        try:
            request, data, is_last = _request(data, header_bytes_max, header_count_max)
        except Refused:
            reading.is_refused = True
            return reading
        reading.requests.append(request)
        if is_last:
            return reading


def _request(data: bytes, bytes_max: int, count_max: int) -> tuple[Request, bytes, bool]:
    size = data.find(b"\r\n\r\n") + 4
    line = LINE.match(data)
    if size < 4 or size > bytes_max or line is None or line[1] not in METHODS:
        raise Refused
    fields: list[tuple[bytes, bytes]] = []
    at = line.end()
    while at < size - 2:
        match = FIELD.match(data, at)
        if match is None:
            raise Refused
        if match[1].lower() == b"transfer-encoding" and b"\t" in match[2]:
            raise Refused  # Right, but llhttp does not have it.
        fields.append((match[1].lower(), match[2].rstrip(b" \t")))
        at = match.end()
    if at != size - 2 or len(fields) > count_max:
        raise Refused
    is_10 = line[3] == b"0"
    raw_path, query = _target(line[1], line[2], _host(fields, is_10=is_10), fields)
    options = _list(fields, b"connection")
    is_last = b"close" in options or (is_10 and b"keep-alive" not in options)
    if b"upgrade" in options and any(name == b"upgrade" for name, _ in fields):
        is_last = True
    if not is_10 and set(_list(fields, b"expect")) - {b"100-continue"}:
        raise Refused
    body, rest = _body(data[size:], fields, count_max, bytes_max, is_10=is_10)
    return (line[1].decode(), raw_path, query, fields, body), rest, is_last


def _list(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    whole = b",".join(value for each, value in fields if each == name)
    return [member.strip(b" \t").lower() for member in whole.split(b",") if member.strip(b" \t")]


def _host(fields: list[tuple[bytes, bytes]], *, is_10: bool) -> bytes | None:
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (not hosts and not is_10):
        raise Refused
    for host in hosts:
        _judge_host(host)
    return hosts[0] if hosts else None


def _judge_host(host: bytes) -> None:
    match = HOST.fullmatch(host)
    if match is None or int(match[4] or 0) > 65535:
        raise Refused
    if match[1].startswith(b"["):
        try:
            IPv6Address(match[1][1:-1].decode())
        except ValueError:
            raise Refused from None


def _target(
    method: bytes, target: bytes, host: bytes | None, fields: list[tuple[bytes, bytes]]
) -> tuple[bytes, bytes]:
    if b"#" in target:
        raise Refused
    if target == b"*" and method == b"OPTIONS":
        return b"*", b""
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is not None:
        _judge_host(absolute[2])
        if host is None:
            fields.insert(0, (b"host", absolute[2]))
        elif host.lower() != absolute[2].lower():
            raise Refused
        target = absolute[3] or b""
        if not target and method == b"OPTIONS":
            return b"*", b""
        if not target.startswith(b"/"):
            target = b"/" + target
    if not target.startswith(b"/"):
        raise Refused
    path, _, query = target.partition(b"?")
    return path, query


def _body(
    data: bytes, fields: list[tuple[bytes, bytes]], count_max: int, bytes_max: int, *, is_10: bool
) -> tuple[bytes, bytes]:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if not codings and not lengths:
        return b"", data
    if not codings:
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
            raise Refused
        size = int(lengths[0])
        if len(data) < size:
            raise Refused
        return data[:size], data[size:]
    if lengths or is_10 or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise Refused
    return _chunks(data, count_max, bytes_max)


def _chunks(data: bytes, count_max: int, bytes_max: int) -> tuple[bytes, bytes]:
    body = b""
    excess = 0
    while True:
        line = SIZE.match(data)
        if line is None or len(line[0]) > CHUNK_LINE_BYTES_MAX + 2:
            raise Refused
        size = int(line[1], 16)
        if line[2] is not None:
            excess = max(0, excess + len(line[0]) - 2 - size)
            if excess > EXTENSION_BYTES_MAX:
                raise Refused
        data = data[line.end() :]
        if not size:
            break
        if data[size : size + 2] != b"\r\n":
            raise Refused
        body += data[:size]
        data = data[size + 2 :]
    count = total = 0
    while not data.startswith(b"\r\n"):
        trailer = FIELD.match(data)
        if trailer is None:
            raise Refused
        count += 1
        total += len(trailer[0])
        if count > count_max or total > bytes_max:
            raise Refused
        data = data[trailer.end() :]
    return body, data[2:]
