"""
Judges the head of a request: request line, headers, Host and framing.

Knows no socket. llhttp (through httptools) checks the characters and the
syntax of header lines; what it lets through and a server must not is refused
here, with the status to answer with.
"""

import re
from http import HTTPStatus
from ipaddress import AddressValueError, IPv6Address

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from penstock.worker.http.blocks import Block, Blocks, Framing, is_judged
from penstock.worker.limits import CONTENT_LENGTH_DIGITS_MAX

Headers = list[tuple[bytes, bytes]]


class RequestError(Exception):
    """The client broke the protocol. Carries the status to answer with."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


_PLAIN = Framing("1.1", keep_alive=True, content_length=0, expects_continue=False)

# Method, target, headers, Host, framing; the latter is None in the plain case.
Head = tuple[str, bytes, Headers, bytes | None, Framing | None]

# What llhttp knows, without RTSP and without CONNECT: an origin server is no
# tunnel. Any other well-formed method is answered with 501.
_METHODS = (
    "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK "
    "SEARCH BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE "
    "PURGE MKCALENDAR LINK UNLINK SOURCE"
)
METHODS = {name.encode(): name for name in _METHODS.split()}

# Headers that mean something to the server itself. And Proxy-Connection, which means nothing to us, but
# Connection to llhttp: with "close" in it the parser takes no other head before it is reset.
SPECIAL_HEADERS = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"proxy-connection",
    )
)

SPACE, CR, LF = 32, 13, 10
BEFORE_END = -5  # the last byte of a head before its empty line

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE = re.compile(rb"[\x21-\xff]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# RFC 3986: a registered name, an IPv4 or a bracketed IPv6 address; then a port. But no comma, though
# it has one: two Hosts that somebody on the way has made one of must not look like a name.
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
PORT_MAX = 65535
# What most clients write, though HTTP/1.1 means it anyway.
_KEEP_ALIVE = {b"connection": b"keep-alive"}, {b"connection": b"Keep-Alive"}


class HeadParser:
    """
    Parses one complete head at a time, for every connection of a site.

    One llhttp parser is enough, since heads come whole and bodies are framed
    elsewhere: idle connections then carry no parser, and no state of one
    client's message can reach into the next.
    """

    __slots__ = (
        "_count_max",
        "_feed",
        "_forwarded",
        "_good_host",
        "_open",
        "_parser",
        "_special_names",
        "blocks",
        "forwarded",
        "headers",
        "host",
        "on_message_complete",
        "special",
    )

    def __init__(self, header_count_max: int, forwarded: tuple[bytes, bytes] = (b"", b"")) -> None:
        """
        Prepare. `forwarded` are the headers in which proxies say for whom a request
        is made, and by which scheme; those without a name never come.
        """
        self._count_max = header_count_max
        self._forwarded = forwarded
        self._special_names = SPECIAL_HEADERS.union(forwarded)
        # What `scan` found that has such headers and is else as usual.
        self.forwarded: Block | None = None
        # Of the message being parsed: its headers, its first Host, and its other
        # special headers, doubled ones joined with a comma.
        self.headers: Headers = []
        self.host: bytes | None = None
        self.special: dict[bytes, bytes] = {}
        # Holds one entry while llhttp is inside a message. Popping it is the
        # callback itself, so that the check costs no Python frame; a second
        # message in the same bytes finds the list empty and raises into llhttp.
        self._open: list[None] = []
        self.on_message_complete = self._open.pop
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data
        # The last Host that was found valid. Most requests have one and the same.
        self._good_host = b"/"  # none yet
        self.blocks = Blocks()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header from llhttp."""
        name = name.lower()
        if value and value[-1] <= SPACE:
            value = value.rstrip(b" \t")  # llhttp takes it off in front only
        if name == b"host" and self.host is None:
            self.host = value
        elif name in self._special_names:
            special = self.special
            special[name] = special[name] + b"," + value if name in special else value
        self.headers.append((name, value))

    def scan(self, head: bytes) -> Headers | None:
        """
        Return the headers of a head, and leave its Host in `host`, if that is
        all there is to it: no body, nothing else special, nothing wrong, and no
        second head in the same bytes. Else return None, and `parse` will tell.

        The caller has judged the request line, and that it says HTTP/1.1.
        """
        if head[BEFORE_END] <= CR:
            return None  # More newlines after the end, which llhttp would skip, bare ones too.
        headers: Headers = []
        self.headers = headers
        self.host = None
        special = self.special
        self._open.append(None)
        feed = self._feed
        try:
            feed(head)
        except (HttpParserError, HttpParserUpgrade):
            self._reset()
            return None
        if special:
            if special not in _KEEP_ALIVE:
                self._scan_forwarded(special)
                return None
            special.clear()
        if self._open:
            # A head ends at its first empty line, so llhttp must be done. Were it
            # not, it would take the next client's bytes for this one's.
            self._reset()
            return None
        if self.host != self._good_host or len(headers) > self._count_max:
            return None
        return headers

    def _scan_forwarded(self, special: dict[bytes, bytes]) -> None:
        """Go on with `scan` where something is special: leave in `forwarded` what only proxies made so."""
        names = self._forwarded
        addresses = special.pop(names[0], None)
        proto = special.pop(names[1], None)
        if (
            (addresses is None and proto is None)
            or (special and special not in _KEEP_ALIVE)
            or self._open
            or self.host != self._good_host
            or len(self.headers) > self._count_max
        ):
            self._reset()
            return
        if special:
            special.clear()
        self.forwarded = self.headers, self.host, _PLAIN._replace(said=(addresses, proto, None))

    def parse(self, head: bytes) -> Head:
        """
        Parse a head up to and with its empty line, or raise RequestError.
        """
        blocks = self.blocks
        token, _, rest = head.partition(b" ")
        target, _, block = rest.partition(b" ")
        if (
            len(block) <= blocks.bytes_max
            and block in blocks.known
            and token in METHODS
            and is_judged(target)
        ):
            blocks.misses = 0
            headers, host, framing, _ = blocks.known[block]
            return METHODS[token], target, headers.copy(), host, framing
        method, target, version = judge_request_line(head[: head.find(b"\r\n")])
        self.headers = []
        self.host = None
        self._open.append(None)
        is_upgrade = False
        try:
            self._feed(head)
        except HttpParserUpgrade:
            is_upgrade = True  # We do not switch protocols: the request is answered as it stands.
        except HttpParserError as error:
            raise _refusal(error) from None
        finally:
            # With a body, or at a last message, llhttp does not wait for a head now.
            special = self.special
            self._reset()
        if b"host" in special:
            raise RequestError(HTTPStatus.BAD_REQUEST, "more than one Host")
        addresses = proto = None
        if len(special) > 1 or b"content-length" not in special:
            names = self._forwarded
            addresses = special.pop(names[0], None)
            proto = special.pop(names[1], None)
        if version == b"HTTP/1.1" and len(special) == 1 and b"content-length" in special:
            # Nearly every head that does not pass `scan`.
            framing = Framing("1.1", True, _length(special[b"content-length"]), False)
        else:
            framing = _framing(version, special)
        if len(self.headers) > self._count_max:
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
        self._judge_host(version)
        usual = None if framing == _PLAIN else framing
        if addresses is not None or proto is not None:
            usual = framing._replace(said=(addresses, proto, usual))
        if not is_upgrade:
            blocks.saw(block, (self.headers, self.host, usual))
        return method, target, self.headers, self.host, usual

    def _judge_host(self, version: bytes) -> None:
        host = self.host
        if host is None:
            if version == b"HTTP/1.1":
                raise RequestError(HTTPStatus.BAD_REQUEST, "missing Host")
            return
        if host == self._good_host:
            return
        if not is_host(host):
            raise RequestError(HTTPStatus.BAD_REQUEST, "invalid Host")
        self._good_host = host

    def _reset(self) -> None:
        self._open.clear()
        self.special = {}
        self._parser.__init__(self)  # type: ignore[misc]


def judge_request_line(line: bytes) -> tuple[str, bytes, bytes]:
    """
    Split a request line into method, target and version, or raise RequestError.

    Only HTTP/1.0 and HTTP/1.1 come back.
    """
    parts = line.split(b" ")
    if len(parts) == 3 and parts[2] == b"HTTP/1.1" and CR not in line and LF not in line:
        token, target, version = parts
        method = METHODS.get(token)
        if method is not None and target:
            return method, target, version  # as nearly all are
    if _TOKEN.fullmatch(parts[0]) is None or b"\r" in line or b"\n" in line:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid request line")
    if len(parts) == 2 and _VISIBLE.fullmatch(parts[1]) is not None:
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/0.9 is not supported")
    if len(parts) != 3 or not parts[1]:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid request line")
    token, target, version = parts
    if _VERSION.fullmatch(version) is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid HTTP version")
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP version not supported")
    method = METHODS.get(token)
    if method is None:
        raise RequestError(HTTPStatus.NOT_IMPLEMENTED, "method not implemented")
    return method, target, version


def is_host(text: bytes) -> bool:
    """Tell whether this is a host, with or without a port."""
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or 0) > PORT_MAX:
        return False
    if match[1] is not None:
        try:
            IPv6Address(match[1].decode())
        except AddressValueError:
            return False
    return True


def _refusal(error: HttpParserError) -> RequestError:
    if isinstance(error, HttpParserInvalidMethodError):
        return RequestError(HTTPStatus.NOT_IMPLEMENTED, "method not implemented")
    return RequestError(HTTPStatus.BAD_REQUEST, str(error).lower() or "invalid head")


def _length(digits: bytes) -> int:
    digits = digits.strip(b" \t")
    if not digits.isdigit() or len(digits) > CONTENT_LENGTH_DIGITS_MAX:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid Content-Length")
    return int(digits)


def _framing(version: bytes, special: dict[bytes, bytes]) -> Framing:
    options = _members(special.get(b"connection", b""))
    # Of both, the end is the safer reading, and what RFC 9112, section 9.3 asks for first.
    keep_alive = b"close" not in options and (version == b"HTTP/1.1" or b"keep-alive" in options)
    is_websocket = False
    if b"upgrade" in special and b"upgrade" in options:
        is_websocket = version == b"HTTP/1.1" and _is_websocket(special[b"upgrade"])
        # The client may go on in the other protocol, so these bytes are the last.
        keep_alive = False

    length: int | None = 0
    coding = special.get(b"transfer-encoding")
    digits = special.get(b"content-length")
    if coding is not None:
        if version == b"HTTP/1.0":
            raise RequestError(HTTPStatus.BAD_REQUEST, "Transfer-Encoding in HTTP/1.0")
        if digits is not None:
            raise RequestError(HTTPStatus.BAD_REQUEST, "Content-Length with Transfer-Encoding")
        if coding.strip(b" \t").lower() != b"chunked":
            raise RequestError(HTTPStatus.NOT_IMPLEMENTED, "transfer coding not implemented")
        length = None
    elif digits is not None:
        length = _length(digits)

    expects_continue = False
    expect = special.get(b"expect")
    if expect is not None and version == b"HTTP/1.1":
        expectations = _members(expect)
        if expectations - {b"100-continue"}:
            raise RequestError(HTTPStatus.EXPECTATION_FAILED, "unknown expectation")
        expects_continue = bool(expectations) and length != 0
    return Framing(version[5:].decode(), keep_alive, length, expects_continue, is_websocket)


def _is_websocket(protocols: bytes) -> bool:
    return b"websocket" in _members(protocols)


def _members(value: bytes) -> set[bytes]:
    """Return the members of a list, in lower case. Empty ones count for nothing (RFC 9110, 5.6.1)."""
    return {part.strip(b" \t") for part in value.lower().split(b",")} - {b""}
