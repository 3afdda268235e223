"""
What names part of a request or a cookie, as the operator writes it. Pure text.
"""

import re

from penstock.master.config.problems import Mismatch, nearest

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
QUERY_NAME = re.compile(r"[^&=#\s\x00-\x20\x7f-\U0010ffff]+")
COOKIE_PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")
NAME_CHARS_MAX = 128

NAMED = ("header", "cookie", "query")
WHOLE = ("client", "path", "uri")
EXPECTED = "header:NAME, cookie:NAME, query:NAME, client, path or uri"
PATTERN = r"(header|cookie|query):.+|client|path|uri"


def read_hash_key(text: str) -> str:
    """Read by what of a request a server is found. Raises Mismatch."""
    if text in WHOLE:
        return text
    part, colon, name = text.partition(":")
    pattern = QUERY_NAME if part == "query" else TOKEN
    if part in NAMED and pattern.fullmatch(name) and len(name) <= NAME_CHARS_MAX:
        return text
    if part in NAMED:
        raise Mismatch(EXPECTED, hint="" if colon else f"name the {part}: {part}:NAME")
    raise Mismatch(EXPECTED, hint=nearest(part, [*WHOLE, *NAMED]))


def read_cookie_name(text: str) -> str:
    """Read the name of a cookie. Raises Mismatch."""
    if not TOKEN.fullmatch(text) or len(text) > NAME_CHARS_MAX:
        raise Mismatch("the name of a cookie such as server_id")
    return text


def read_cookie_path(text: str) -> str:
    """Read below which path a browser sends a cookie. Raises Mismatch."""
    if not COOKIE_PATH.fullmatch(text):
        raise Mismatch("a path that begins with '/', without blanks and ';'")
    return text
