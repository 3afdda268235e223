"""
Lines of text by a format of atoms, `%(h)s %(r)s`, as gunicorn has them.

Pure. A format is compiled once; what a line then costs is a call for each atom.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final

from penstock.worker.access import entry as at
from penstock.worker.access.clock import Clock
from penstock.worker.access.entry import Entry
from penstock.worker.access.escapes import CUT, shown, shown_word
from penstock.worker.access.redaction import Redaction
from penstock.worker.gateway.trail import Trail
from penstock.worker.limits import ACCESS_LINE_BYTES_MAX

# What "text" means: the combined format of Apache and nginx.
COMBINED: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

Headers = dict[bytes, bytes]
Getter = Callable[[Entry, Headers], str]
Line = Callable[[Entry], str]

_PIECE = re.compile(r"%\(([^()]*)\)s|%%|%")
_NAMED = re.compile(r"\{([^{}]+)\}([ieo])")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STRANGE = re.compile(r"[^\t -~]")


class FormatError(ValueError):
    """The format is none. Says which part of it."""


def judge_format(text: str) -> None:
    """Raise FormatError for a format that cannot be compiled."""
    compile_format(text, Redaction(), pid=0, slot=0)


def shows_response_headers(text: str) -> bool:
    """Tell whether a format has an atom for a header of the response."""
    return any((named := _NAMED.fullmatch(name)) and named[2] == "o" for name in _PIECE.findall(text))


def shows_trail(text: str) -> bool:
    """Tell whether a format has an atom for the way of a request to an upstream server."""
    return any(
        (named := _NAMED.fullmatch(name)) and named[2] == "e" and named[1] in TRAIL_ATOMS
        for name in _PIECE.findall(text)
    )


def compile_format(text: str, redaction: Redaction, *, pid: int, slot: int) -> Line:
    """Make the function that writes lines of this format, without their newline. Raises FormatError."""
    if (strange := _STRANGE.search(text)) is not None:
        raise FormatError(f"{strange[0]!r} is not printable ASCII")
    atoms = _Atoms(redaction, pid, slot)
    getters: list[Getter] = []
    template, end = "", 0
    for piece in _PIECE.finditer(text):
        template += text[end : piece.start()]
        end = piece.end()
        if piece[0] == "%":
            raise FormatError(f"there is a lone '%' at character {piece.start() + 1}; write %% for itself")
        if piece[1] is not None:
            getters.append(atoms.find(piece[1]))
        template += "%%" if piece[1] is None else "%s"
    template += text[end:]
    if not getters:
        raise FormatError("there is no atom such as %(r)s in it")

    def line(entry: Entry) -> str:
        headers = dict(entry[at.HEADERS])
        text = template % tuple([get(entry, headers) for get in getters])
        if len(text) >= ACCESS_LINE_BYTES_MAX:
            return text[: ACCESS_LINE_BYTES_MAX - 1 - len(CUT)] + CUT
        return text

    return line


class _Atoms:
    """Finds what each atom shows."""

    def __init__(self, redaction: Redaction, pid: int, slot: int) -> None:
        self._redaction = redaction
        common = Clock().common
        self._simple: Mapping[str, Getter] = {
            "h": _client,
            "l": lambda entry, headers: "-",
            "u": self._user,
            "t": lambda entry, headers: common(entry[at.TIME_S]),
            "r": self._request_line,
            "m": _method,
            "U": lambda entry, headers: shown(entry[at.PATH]),
            "q": self._query,
            "H": lambda entry, headers: "HTTP/" + shown(entry[at.HTTP_VERSION].encode()),
            "s": lambda entry, headers: str(entry[at.STATUS]),
            "B": lambda entry, headers: str(entry[at.SENT_BYTES]),
            "b": lambda entry, headers: str(entry[at.SENT_BYTES] or "-"),
            "f": self._request_header("referer"),
            "a": self._request_header("user-agent"),
            "T": lambda entry, headers: str(entry[at.ELAPSED_US] // 1_000_000),
            "M": lambda entry, headers: str(entry[at.ELAPSED_US] // 1000),
            "D": lambda entry, headers: str(entry[at.ELAPSED_US]),
            "L": lambda entry, headers: f"{entry[at.ELAPSED_US] / 1e6:.6f}",
            "p": lambda entry, headers: f"<{pid}>",
        }
        # Of a WSGI environment, what there is of it here; in small letters, what is Penstock's own.
        self._variables: Mapping[str, Getter] = {
            "REMOTE_ADDR": _client,
            "REMOTE_PORT": _client_port,
            "REQUEST_METHOD": _method,
            "PATH_INFO": self._simple["U"],
            "QUERY_STRING": self._query,
            "SERVER_PROTOCOL": self._simple["H"],
            "listener": lambda entry, headers: shown(entry[at.LISTENER].encode()),
            "route": lambda entry, headers: shown(entry[at.ROUTE].encode()),
            "request_id": lambda entry, headers: shown((entry[at.REQUEST_ID] or "-").encode()),
            "worker": lambda entry, headers: str(slot),
            **{name: _of_trail(show) for name, show in TRAIL_ATOMS.items()},
        }

    def find(self, name: str) -> Getter:
        """Find an atom by what stands in its parentheses. Raises FormatError."""
        if name in self._simple:
            return self._simple[name]
        named = _NAMED.fullmatch(name)
        if named is None:
            raise FormatError(f"there is no atom %({name})s")
        word, kind = named[1], named[2]
        if kind == "e":
            if word.startswith("HTTP_"):
                return self._request_header(word.removeprefix("HTTP_").replace("_", "-"))
            if word not in self._variables:
                known = ", ".join(self._variables)
                raise FormatError(f"there is no variable for %({name})s; there are {known} and HTTP_*")
            return self._variables[word]
        if not _TOKEN.fullmatch(word):
            raise FormatError(f"there is no header for %({name})s")
        return self._request_header(word) if kind == "i" else self._response_header(word)

    def _user(self, entry: Entry, headers: Headers) -> str:
        given = headers.get(b"authorization")
        if given is None or given[:6].lower() != b"basic ":
            return "-"
        if self._redaction.hides(b"authorization"):
            return "***"
        try:
            user = base64.b64decode(given[6:].strip(), validate=True).partition(b":")[0]
        except (binascii.Error, ValueError):
            return "-"
        return shown_word(user) or "-"

    def _request_line(self, entry: Entry, headers: Headers) -> str:
        method = entry[at.METHOD]
        if not method:
            return "-"
        query = entry[at.QUERY]
        target = shown(entry[at.PATH])
        if query:
            target += "?" + shown(self._redaction.query(query))
        return f"{_method(entry, headers)} {target} HTTP/{shown(entry[at.HTTP_VERSION].encode())}"

    def _query(self, entry: Entry, headers: Headers) -> str:
        return shown(self._redaction.query(entry[at.QUERY]))

    def _request_header(self, name: str) -> Getter:
        key = name.lower().encode()
        redacted = self._redaction.header

        def get(entry: Entry, headers: Headers) -> str:
            value = headers.get(key)
            return "-" if value is None else shown(redacted(key, value))

        return get

    def _response_header(self, name: str) -> Getter:
        key = name.lower().encode()
        redacted = self._redaction.header

        def get(entry: Entry, headers: Headers) -> str:
            for each, value in entry[at.RESPONSE_HEADERS] or ():
                if each.lower() == key:
                    return shown(redacted(key, value))
            return "-"

        return get


def _of_trail(show: Callable[[Trail, int], object]) -> Getter:
    def get(entry: Entry, headers: Headers) -> str:
        trail = entry[at.TRAIL]
        found = None if trail is None or trail.upstream is None else show(trail, entry[at.ELAPSED_US])
        return "-" if found is None else shown(str(found).encode())

    return get


def _seconds(us: int | None) -> str | None:
    return None if us is None else f"{us / 1e6:.6f}"


# As the keys of JSON are called.
TRAIL_ATOMS: Final[Mapping[str, Callable[[Trail, int], object]]] = {
    "upstream": lambda trail, elapsed_us: trail.upstream,
    "server": lambda trail, elapsed_us: trail.server,
    "upstream_status": lambda trail, elapsed_us: trail.status,
    "upstream_connect_s": lambda trail, elapsed_us: _seconds(trail.connect_us),
    "upstream_first_byte_s": lambda trail, elapsed_us: _seconds(trail.first_byte_us(elapsed_us)),
    "upstream_s": lambda trail, elapsed_us: _seconds(trail.server_us(elapsed_us)),
    "upstream_failure": lambda trail, elapsed_us: trail.failure,
    "attempts": lambda trail, elapsed_us: ", ".join(trail.tried) or None,
}


def _client(entry: Entry, headers: Headers) -> str:
    client = entry[at.CLIENT]
    return client[0] if client else "-"


def _client_port(entry: Entry, headers: Headers) -> str:
    client = entry[at.CLIENT]
    return str(client[1]) if client else "-"


def _method(entry: Entry, headers: Headers) -> str:
    method = entry[at.METHOD]
    # All that were routed are known words.
    return method if method.isascii() and method.isalpha() else shown(method.encode()) or "-"
