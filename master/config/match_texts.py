"""
How the texts of match rules, redirects and changes are read: patterns, networks, templates.

Each raises Mismatch. What depends on other keys, such as which variables a redirect
has, is judged in `route_faults`.
"""

import re

from penstock.master.config.problems import Mismatch, nearest
from penstock.worker.http.patterns import PatternError, compile_pattern
from penstock.worker.http.raw_paths import has_dot_segment
from penstock.worker.http.template import Template, TemplateError
from penstock.worker.http.variables import VARIABLES

REGEX_CHARS_MAX = 4096
TO_EXPECTED = "a path that begins with '/', or a URL such as https://example.com/new/"
# What frames a message or concerns one hop is the server's own; the rest of RFC 9110, section 7.6.1.
HOP_HEADERS = frozenset(
    {
        *("connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
# A host and a port, or the variables that are some; then a path, or what follows one.
_AUTHORITY = re.compile(
    r"(https?|\{scheme\})://(?:\{host\}|\{authority\}|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)


def read_regex(text: str) -> str:
    """Read a regular expression, without "~"."""
    return _judged(text, text, "a regular expression")


def read_tilde_regex(text: str) -> str:
    """Read one behind "~"."""
    return _judged(text, text[1:], "a regular expression after '~'")


def _judged(text: str, regex: str, what: str) -> str:
    if len(text) > REGEX_CHARS_MAX:
        raise Mismatch(f"a regular expression of at most {REGEX_CHARS_MAX} characters")
    try:
        compile_pattern(regex)
    except PatternError as error:
        raise Mismatch(f"{what} ({error})") from None
    return text


def read_wildcard(folded: str) -> str:
    """Read a host name with a star in it, in lower case."""
    if not folded.startswith("*.") or "*" in folded[1:] or not _LABELS.fullmatch(folded[2:]):
        raise Mismatch("a host name, or '*.' and the end of one, such as *.example.com")
    return folded


def read_field_name(text: str) -> str:
    """Read the name of a request header."""
    if not _TOKEN.fullmatch(text):
        raise Mismatch("a header name such as x-flag")
    return text.lower()


def read_query_name(text: str) -> str:
    """Read the name of a parameter."""
    if not text or _CONTROL.search(text):
        raise Mismatch("the name of a parameter")
    return text


def read_value_match(text: str) -> str:
    """Read what a value is to be: a text, or "~" and a regular expression."""
    expected = "a text, or '~' and a regular expression"
    if text.startswith("~"):
        try:
            return read_tilde_regex(text)
        except Mismatch as mismatch:
            # As a hint it is told although a boolean could stand there, too.
            raise Mismatch(expected, hint=f"expected {mismatch.expected}") from None
    if _CONTROL.search(text):
        raise Mismatch(expected, hint="a value has one line")
    return text


def read_prefix(text: str) -> str:
    """Read a prefix of a path, which says the same with and without its last slash."""
    trimmed = text.rstrip("/")
    if not trimmed.startswith("/") or _CONTROL.search(trimmed) or "?" in trimmed or "#" in trimmed:
        raise Mismatch("the beginning of a path, such as /api")
    if trimmed.startswith("//") or has_dot_segment(trimmed):
        raise Mismatch("the beginning of a path without empty parts, '.' and '..'")
    return trimmed


def read_rewrite_to(text: str) -> str:
    """Read what takes the place of a match; its variables are judged beside the expression."""
    if _CONTROL.search(text) or "?" in text or "#" in text:
        raise Mismatch("a piece of a path, without '?' and '#': the query stays as it is")
    return text


def read_redirect_to(text: str) -> str:
    """
    Read where clients are sent; the variables are judged beside the match.

    What a client sends must not get into the host: behind one that is written out stands a slash.
    """
    if _CONTROL.search(text) or " " in text:
        raise Mismatch(TO_EXPECTED, hint="write %20 for a blank" if " " in text else "")
    if text.startswith(("/", "{path}")):
        if text.startswith(("//", "/\\")):
            raise Mismatch(TO_EXPECTED, hint="two slashes would begin the name of a host")
        return text
    authority = _AUTHORITY.match(text)
    if authority is None:
        raise Mismatch(TO_EXPECTED)
    rest = text[authority.end() :]
    if rest and not rest.startswith(("/", "?", "#", "{path}")):
        hint = "a '/' has to end the host, or a client could go on with it" if rest[0] == "{" else ""
        raise Mismatch(TO_EXPECTED, hint=hint)
    return text


def read_split_key(text: str) -> str:
    """Read by what requests go together."""
    expected = "client, random, header:NAME or cookie:NAME"
    kind, sign, name = text.partition(":")
    if text in {"client", "random"} or (kind in {"header", "cookie"} and _TOKEN.fullmatch(name)):
        return text
    hint = nearest(kind, ("client", "random", "header", "cookie")) if not sign else ""
    raise Mismatch(expected, hint=hint)


def read_edited_name(text: str) -> str:
    """Read the name of a header that is changed."""
    if not _TOKEN.fullmatch(text):
        raise Mismatch("a header name such as x-api")
    if text.lower() in HOP_HEADERS:
        raise Mismatch("another header: this one concerns the connection, and is Penstock's own")
    return text


def read_header_template(text: str) -> str:
    """Read the value of a header that is set, with variables."""
    is_latin = all(ord(char) < 256 for char in text)
    if _CONTROL.search(text.replace("\t", " ")) or text != text.strip(" \t") or not is_latin:
        raise Mismatch("a header value: one line of Latin-1 text without blanks at its ends")
    try:
        Template(text, VARIABLES)
    except TemplateError as error:
        hint = nearest(error.unknown, VARIABLES) if error.unknown else ""
        told = f"a header value, with {', '.join(f'{{{name}}}' for name in VARIABLES)}: {error}"
        raise Mismatch(told, hint=hint) from None
    return text
