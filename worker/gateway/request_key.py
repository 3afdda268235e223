"""
What a request is hashed by: the part of it that `hash.by` names.

Pure. A key is bytes as they came, nothing decoded; None if the request has none.
"""

import re
from collections.abc import Callable

from penstock.worker.asgi.types import Scope

KeyOf = Callable[[Scope], bytes | None]


def key_of(by: str) -> KeyOf:
    """Make the function that finds a request's key."""
    kind, _, name = by.partition(":")
    if kind == "header":
        return _header(name.lower().encode())
    if kind == "cookie":
        return cookie(name, rb"[^;]*")
    if kind == "query":
        return _query(name)
    return {"client": _client, "path": _path, "uri": _uri}[kind]


def cookie(name: str, value: bytes) -> KeyOf:
    """Make a function that finds a cookie whose value is so."""
    search = re.compile(rb"(?:^|;)[ \t]*%b=(%b)[ \t]*(?:$|;)" % (re.escape(name.encode()), value)).search

    def find(scope: Scope) -> bytes | None:
        for field, text in scope["headers"]:
            if field == b"cookie":
                match = search(text)
                if match is not None:
                    found: bytes = match[1]
                    return found
        return None

    return find


def _header(name: bytes) -> KeyOf:
    def find(scope: Scope) -> bytes | None:
        for field, value in scope["headers"]:
            if field == name:
                found: bytes = value
                return found
        return None

    return find


def _query(name: str) -> KeyOf:
    search = re.compile(rb"(?:^|&)%b=([^&]*)" % re.escape(name.encode())).search

    def find(scope: Scope) -> bytes | None:
        query = scope["query_string"]
        match = search(query) if query else None
        return None if match is None else match[1]

    return find


def _client(scope: Scope) -> bytes | None:
    client = scope["client"]
    return None if client is None else client[0].encode()


def _path(scope: Scope) -> bytes | None:
    path: bytes = scope["raw_path"]
    return path


def _uri(scope: Scope) -> bytes | None:
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path
