"""
From a scope to an environ.

Pure. Text in an environ is bytes in disguise: each character is one of the first
256, whatever coding the client meant (PEP 3333).
"""

from typing import Any
from urllib.parse import unquote_to_bytes

from penstock.worker.asgi.types import Scope
from penstock.worker.http.matching import host_name
from penstock.worker.limits import REQUEST_NAMES_MAX
from penstock.worker.wsgi.application import Environ

# Header names as they come, and what they are in an environ; None: they are not.
_KEYS: dict[bytes, str | None] = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
    # It would be HTTP_PROXY, which many libraries take for the proxy that they are to use (CVE-2016-5385).
    b"proxy": None,
}
_COOKIE = "HTTP_COOKIE"


def environ_of(scope: Scope) -> Environ:
    """Give what CGI and HTTP have in an environ; the wsgi.* keys are the caller's."""
    scheme: str = scope["scheme"]
    path = tunnelled(scope["raw_path"])
    root_path = ""
    if scope["root_path"]:
        root_path = tunnelled(scope["root_path"].encode())
        path = path.removeprefix(root_path)
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1")
    if query:
        target = f"{target}?{query}"
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root_path,
        "PATH_INFO": "/" if path == "*" else path,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_SOFTWARE": "penstock",
        "REMOTE_ADDR": "",
        "wsgi.url_scheme": scheme,
    }
    client = scope["client"]
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    if scheme == "https":
        environ["HTTPS"] = "on"
    _add_headers(environ, scope["headers"])
    name, port = scope["server"]
    if port is None:
        # A UNIX socket has neither, and an app that makes links needs both.
        name, port = _named_by_client(environ.get("HTTP_HOST", ""), scheme)
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = str(port)
    return environ


def tunnelled(raw_path: bytes) -> str:
    """Decode a path as it was sent, and give its bytes as characters."""
    if b"%" in raw_path:
        raw_path = unquote_to_bytes(raw_path)
    return raw_path.decode("latin-1")


def _add_headers(environ: Environ, headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        key = _KEYS[name] if name in _KEYS else _learn(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
        else:
            environ[key] += f"; {text}" if key == _COOKIE else f", {text}"


def _learn(name: bytes) -> str | None:
    """
    Translate the name of a header.

    One with an underscore would be the same as one with a hyphen, which a proxy
    in front may have judged: it is left out.
    """
    key = None if b"_" in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_KEYS) < REQUEST_NAMES_MAX:
        _KEYS[name] = key
    return key


def _named_by_client(host: str, scheme: str) -> tuple[str, Any]:
    name = host_name(host.encode("latin-1")) or "localhost"
    port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    return name, port or ("443" if scheme == "https" else "80")
