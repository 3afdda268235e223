"""
The kinds of text that a key can ask for, beyond YAML's own.

Each has a reader, which raises Mismatch, and the JSON Schema of what may be
written. The records in model.py name a kind with `kind()`; nothing else decides
what a value may look like.
"""

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from penstock.master.config import bind, match_texts, networks, units
from penstock.master.config.hash_key import EXPECTED as HASH_KEY_EXPECTED
from penstock.master.config.hash_key import PATTERN as HASH_KEY_PATTERN
from penstock.master.config.hash_key import read_cookie_name, read_cookie_path, read_hash_key
from penstock.master.config.passing import (
    PROTOCOL_EXPECTED,
    PSEUDONYM_EXPECTED,
    UPSTREAM_HOST_EXPECTED,
    read_protocol,
    read_pseudonym,
    read_upstream_host,
)
from penstock.master.config.problems import Mismatch, nearest
from penstock.master.config.proxies import EXPECTED as PROXY_EXPECTED
from penstock.master.config.proxies import read_trusted_proxy
from penstock.master.config.server import EXPECTED as SERVER_EXPECTED
from penstock.master.config.server import PATTERN as SERVER_PATTERN
from penstock.master.config.server import read_nameserver, read_proxy, read_server
from penstock.worker.access.atoms import FormatError, judge_format

NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
APP_PATTERN = (
    r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
)
HEADER_NAME_PATTERN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
MEDIA_RANGE_PATTERN = r"[*!#$%&'+.^_`|~0-9a-z-]+/[*!#$%&'+.^_`|~0-9a-z-]+"
ACCOUNT_CHARS_MAX = 256
SUFFIX_PATTERN = r"\.[A-Za-z0-9_+-]+"
OTLP_URL = "http://127.0.0.1:4318/v1/traces"
# OpenSSL takes no longer one.
PASSWORD_BYTES_MAX = 1023

# What llhttp, and so httptools, can parse. Another method never gets as far as a route.
# fmt: off
METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "ACL", "BIND",
    "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE",
    "M-SEARCH", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT", "SEARCH",
    "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
)
# fmt: on

# The worker frames every response itself; a second copy of these would be request smuggling.
FRAMING_HEADERS = frozenset(
    {"connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"}
)

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """How a text is read, how it is told of, and what an editor may accept for it."""

    read: Callable[[str], Any]
    expected: str
    schema: dict[str, Any]


def kind(name: str, description: str = "") -> msgspec.Meta:
    """Mark a field as text of a kind."""
    assert name in KINDS
    return msgspec.Meta(
        extra={"kind": name},
        extra_json_schema={"x-kind": name, "x-written": KINDS[name].schema},
        description=description or None,
    )


def read_name(text: str) -> str:
    """Read a name that is safe as a file name, a label and a word on a line."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise Mismatch("a name of letters, digits, '-', '_' and '.', at most 64 of them")
    return text


def read_label(text: str) -> str:
    """Read a name that only people and metrics see."""
    if not text or len(text) > 200 or _CONTROL.search(text):
        raise Mismatch("a name of 1 to 200 characters on one line")
    return text


def read_app(text: str) -> str:
    """Read where an app is imported from."""
    expected = "module:attribute, such as main:app"
    if re.fullmatch(APP_PATTERN, text):
        words = re.split(r"[.:]", text)
        reserved = next((word for word in words if keyword.iskeyword(word)), None)
        if reserved:
            raise Mismatch(f"{expected} ({reserved!r} is a word of the Python language)")
        return text
    guess = text.removesuffix(".py").replace("/", ".").strip(".")
    if ":" not in guess:
        guess += ":app"
    guess = guess.replace(".py:", ":").removesuffix("()")
    if guess != text and re.fullmatch(APP_PATTERN, guess):
        hint = "a factory is named without () and with factory: true" if text.endswith("()") else ""
        raise Mismatch(expected, hint=f"did you mean {guess!r}?" + (f" {hint}" if hint else ""))
    raise Mismatch(expected)


def read_host(text: str) -> str:
    """Read a host name as a request carries it, in lower case."""
    folded = text.lower()
    if "*" in folded:
        return match_texts.read_wildcard(folded)
    if re.fullmatch(r".*:[0-9]{1,5}", folded) and not folded.endswith("]") and folded.count(":") == 1:
        raise Mismatch("a host name without a port", hint=f"did you mean {folded.rpartition(':')[0]!r}?")
    if folded.startswith("[") and folded.endswith("]"):
        return str(bind.parse_bind(f"{folded}:0")).removesuffix(":0")
    if not _HOST.fullmatch(folded):
        raise Mismatch("a host name such as api.example.com")
    return folded


def read_path(text: str) -> str:
    """Read a path rule: exact, a prefix ending in "/", or "~" and a regular expression."""
    if text.startswith("~"):
        return match_texts.read_tilde_regex(text)
    if not text.startswith("/"):
        raise Mismatch("a path that begins with '/', or '~' and a regular expression")
    if _CONTROL.search(text):
        raise Mismatch("a path without control characters")
    if "?" in text or "#" in text:
        raise Mismatch("a path without a query: only the part before '?' and '#' is matched")
    if text.endswith("*"):
        raise Mismatch("a path; one that ends in '/' is a prefix", hint=f"did you mean {text.rstrip('*')!r}?")
    return text


def read_method(text: str) -> str:
    """Read an HTTP method."""
    if text not in METHODS:
        raise Mismatch("an HTTP method such as GET or POST", hint=nearest(text, METHODS))
    return text


def read_header_name(text: str) -> str:
    """Read the name of a response header."""
    if not re.fullmatch(HEADER_NAME_PATTERN, text):
        raise Mismatch("a header name such as cache-control")
    if text.lower() in FRAMING_HEADERS:
        raise Mismatch("another header: this one is set by Penstock itself")
    return text


def read_header_value(text: str) -> str:
    """Read the value of a response header."""
    if _CONTROL.search(text.replace("\t", " ")) or text != text.strip(" \t") or not _is_latin(text):
        raise Mismatch("a header value: one line of Latin-1 text without blanks at its ends")
    return text


def read_file_path(text: str) -> str:
    """Read a path of the file system."""
    if not text or "\0" in text:
        raise Mismatch("a path")
    return text


def read_log_path(text: str) -> str | None:
    """Read where the log goes; "-" is standard error, as other servers have it."""
    if text in {"-", "stderr"}:
        return None
    if text == "stdout":
        raise Mismatch("a path or 'stderr': 'stdout' is not supported yet")
    return read_file_path(text)


def read_account(text: str) -> str:
    """Read a user or group, by name or number; whether it exists is judged later."""
    if not text or len(text) > ACCOUNT_CHARS_MAX or _CONTROL.search(text) or ":" in text:
        raise Mismatch("a name or a number of this system")
    return text


def read_root_path(text: str) -> str:
    """Read the prefix under which a proxy in front serves the apps."""
    trimmed = text.rstrip("/")
    if trimmed and (not trimmed.startswith("/") or _CONTROL.search(trimmed)):
        raise Mismatch("a path that begins with '/'", hint=f"did you mean {'/' + trimmed!r}?")
    return trimmed


def read_bind(text: str) -> str:
    """Read an address, and write it the one way in which equal addresses are equal."""
    return str(bind.parse_bind(text))


def read_ratio(text: str) -> float:
    """Read a part of a whole."""
    try:
        ratio = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise Mismatch("a ratio from 0 to 1, such as 0.1, or 10%")
    return ratio


def read_otlp_url(text: str) -> str:
    """Read where a collector listens; without a path it is the usual one."""
    expected = f"a URL such as {OTLP_URL}"
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or _CONTROL.search(text) or " " in text or not text.isascii():
        raise Mismatch(expected)
    if "@" in parts.netloc:
        raise Mismatch(f"{expected}, without a password: that goes into 'headers'", found="a URL with '@'")
    if parts.path in {"", "/"}:
        parts = parts._replace(path="/v1/traces")
    return urlunsplit(parts)


def read_access_path(text: str) -> str:
    """Read where the access log goes; "-" is standard output, as other servers have it."""
    return "stdout" if text == "-" else read_file_path(text)


def read_access_format(text: str) -> str:
    """Read how lines of the access log look: a word, or a format of atoms."""
    words = ("text", "json")
    if text in words:
        return text
    expected = "'text', 'json' or a format of atoms such as '%(h)s \"%(r)s\" %(s)s'"
    if "%" not in text:
        raise Mismatch(expected, hint=nearest(text, words))
    try:
        judge_format(text)
    except FormatError as error:
        raise Mismatch(expected, hint=str(error)) from None
    return text


def read_password(text: str) -> str:
    """Read a password, which no message shows."""
    if not text or "\0" in text or len(text.encode()) > PASSWORD_BYTES_MAX:
        raise Mismatch(f"a password of 1 to {PASSWORD_BYTES_MAX} bytes", found="another text")
    return text


def read_secret(text: str) -> str:
    """Read what the access log does not show: "query", or the name of a header."""
    if not re.fullmatch(HEADER_NAME_PATTERN, text):
        raise Mismatch("'query' or a header name such as x-api-key")
    return text.lower()


def read_media_range(text: str) -> str:
    """Read a media type, maybe with stars in it."""
    folded = text.lower()
    if not re.fullmatch(MEDIA_RANGE_PATTERN, folded):
        raise Mismatch("a media type such as text/* or application/json")
    if folded == "text/event-stream":
        raise Mismatch("another type: event streams are never compressed")
    return folded


def read_suffix(text: str) -> str:
    """Read the end of a name."""
    if not re.fullmatch(SUFFIX_PATTERN, text):
        raise Mismatch("the end of a name, such as .x")
    return text.lower()


def read_target(text: str) -> str:
    """Read what a request of our own asks for: a path, maybe with a query."""
    if not re.fullmatch(r"/[!-\"$-~]{0,2047}", text):
        raise Mismatch("a path that begins with '/', of visible ASCII characters, without '#'")
    return text


def read_status_span(text: str) -> str:
    """Read a status, or from which to which."""
    found = re.fullmatch(r"([1-5][0-9][0-9])(?: ?- ?([1-5][0-9][0-9]))?", text)
    if found is None or text.startswith("1") or int(found[2] or found[1]) < int(found[1]):
        raise Mismatch("a status such as 204, or two such as 200-299")
    return text.replace(" ", "")


def _is_latin(text: str) -> bool:
    return all(ord(char) < 256 for char in text)


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$"}


KINDS: dict[str, Kind] = {
    "access_format": Kind(
        read_access_format,
        "'text', 'json' or a format of atoms",
        {"anyOf": [{"enum": ["text", "json"]}, {"type": "string", "pattern": "%"}]},
    ),
    "access_path": Kind(read_access_path, "'stdout', 'stderr' or a path", {"type": "string", "minLength": 1}),
    "account": Kind(read_account, "a name or a number", {"type": ["string", "integer"]}),
    "app": Kind(read_app, "module:attribute, such as main:app", _text(APP_PATTERN)),
    "bind": Kind(
        read_bind, bind.EXPECTED, _text(r"(.*:[0-9]{1,5}|unix:.+|fd:(//)?([0-9]+|[A-Za-z][!-9;-~]*))")
    ),
    "cookie_name": Kind(read_cookie_name, "the name of a cookie", _text(HEADER_NAME_PATTERN)),
    "cookie_path": Kind(read_cookie_path, "a path that begins with '/'", _text(r"/[!-:<-~]*")),
    "duration": Kind(
        units.parse_duration,
        "a duration such as 500ms, 30s, 5m or 1h",
        _text(units.DURATION_PATTERN),
    ),
    "edited_name": Kind(match_texts.read_edited_name, "a header name", _text(HEADER_NAME_PATTERN)),
    "field_name": Kind(match_texts.read_field_name, "a header name", _text(HEADER_NAME_PATTERN)),
    "file_path": Kind(read_file_path, "a path", {"type": "string", "minLength": 1}),
    "glob": Kind(read_file_path, "a pattern such as *.html, or a path", {"type": "string", "minLength": 1}),
    "hash_key": Kind(read_hash_key, HASH_KEY_EXPECTED, _text(f"({HASH_KEY_PATTERN})")),
    "header_name": Kind(read_header_name, "a header name", _text(HEADER_NAME_PATTERN)),
    "header_template": Kind(
        match_texts.read_header_template, "a header value", {"type": ["string", "number", "boolean"]}
    ),
    "header_value": Kind(read_header_value, "a header value", {"type": ["string", "number", "boolean"]}),
    "host": Kind(read_host, "a host name", _text(r"(\*\.)?[^*/]+")),
    "label": Kind(read_label, "a name", {"type": "string", "minLength": 1, "maxLength": 200}),
    "log_path": Kind(read_log_path, "a path, or 'stderr'", {"type": "string", "minLength": 1}),
    "media_range": Kind(read_media_range, "a media type such as text/*", _text(r"[^/ ;]+/[^/ ;]+")),
    "method": Kind(read_method, "an HTTP method", {"enum": list(METHODS)}),
    "mode": Kind(
        units.parse_mode,
        "permissions in octal such as 0660",
        # A YAML 1.1 editor reads 0660 as the number 432.
        {"anyOf": [_text(units.MODE_PATTERN), {"type": "integer", "minimum": 0}]},
    ),
    "name": Kind(read_name, "a name", _text(NAME_PATTERN)),
    "nameserver": Kind(read_nameserver, "an IP address, maybe with a port", _text(r"[0-9A-Fa-f.:\[\]]+")),
    "network": Kind(
        networks.read_network,
        networks.EXPECTED,
        _text(r"(unix:?|[0-9A-Fa-f:.\[\]]+(/[0-9]+)?)"),
    ),
    "otlp_url": Kind(read_otlp_url, f"a URL such as {OTLP_URL}", _text("https?://.+")),
    "password": Kind(read_password, "a password", {"type": "string", "minLength": 1}),
    "path": Kind(read_path, "a path", _text("[/~].*")),
    "path_prefix": Kind(match_texts.read_prefix, "the beginning of a path", _text("/[^?#]+")),
    "protocol": Kind(read_protocol, PROTOCOL_EXPECTED, _text(r"[^ ,]+")),
    "query_name": Kind(
        match_texts.read_query_name, "the name of a parameter", {"type": "string", "minLength": 1}
    ),
    "proxy": Kind(read_proxy, "the name of an upstream, or a server", {"type": "string", "minLength": 1}),
    "pseudonym": Kind(read_pseudonym, PSEUDONYM_EXPECTED, _text(r"[^ ,]+")),
    "ratio": Kind(
        read_ratio,
        "a ratio from 0 to 1",
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _text(r"[0-9]+(\.[0-9]+)?%?")]},
    ),
    "redirect_to": Kind(match_texts.read_redirect_to, match_texts.TO_EXPECTED, _text("[/h{].*")),
    "regex": Kind(match_texts.read_regex, "a regular expression", {"type": "string", "minLength": 1}),
    "rewrite_to": Kind(match_texts.read_rewrite_to, "a piece of a path", _text("[^?#]*")),
    "root_path": Kind(read_root_path, "a path that begins with '/'", {"type": "string"}),
    "secret": Kind(read_secret, "'query' or a header name", _text(HEADER_NAME_PATTERN)),
    "split_key": Kind(
        match_texts.read_split_key,
        "client, random, header:NAME or cookie:NAME",
        _text("(client|random|(header|cookie):.+)"),
    ),
    "server": Kind(read_server, SERVER_EXPECTED, _text(SERVER_PATTERN)),
    "umask": Kind(
        units.parse_umask,
        "a mask in octal such as 022",
        {"anyOf": [_text(units.UMASK_PATTERN), {"type": "integer", "minimum": 0}]},
    ),
    "size": Kind(
        units.parse_size,
        "a size such as 4096, 64KiB or 1MiB",
        {"anyOf": [{"type": "integer", "minimum": 0}, _text(units.SIZE_PATTERN)]},
    ),
    "status_span": Kind(
        read_status_span,
        "a status such as 204, or two such as 200-299",
        {
            "anyOf": [
                {"type": "integer", "minimum": 200, "maximum": 599},
                _text(r"[2-5][0-9]{2}( ?- ?[2-5][0-9]{2})?"),
            ]
        },
    ),
    "suffix": Kind(read_suffix, "the end of a name, such as .x", _text(SUFFIX_PATTERN)),
    "target": Kind(read_target, "a path", _text("/.*")),
    "trusted_proxy": Kind(
        read_trusted_proxy, PROXY_EXPECTED, _text(r"(\*|unix:?|[0-9A-Fa-f:.\[\]]+(/[0-9]+)?)")
    ),
    "upstream_host": Kind(read_upstream_host, UPSTREAM_HOST_EXPECTED, _text(r"[^/ ]+")),
    "value_match": Kind(
        match_texts.read_value_match,
        "a text, or '~' and a regular expression",
        {"type": ["string", "number"]},
    ),
}
