"""
A small client of the control socket: HTTP/1.1 over a UNIX socket, one request a connection.

Knows the path of a socket and nothing of what is asked through it.
"""

import http.client
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

# The admin process answers in milliseconds, also while every worker is blocked.
TIMEOUT_S = 5.0
# 1,024 workers of 400 bytes are 400 KiB; what is larger is not a status.
ANSWER_BYTES_MAX = 16 * 1024 * 1024


class ControlError(Exception):
    """The server could not be asked. The text is for a person."""


class ServerGone(ControlError):
    """No master holds the socket: it keeps it open through everything but its own end."""


class UnknownTarget(ControlError):
    """The server has nothing of that name: it is of an older release."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def ask(path: Path, target: str) -> bytes:
    """GET `target` through a control socket. Raises ControlError."""
    status, reason, body = _exchange(path, "GET", target)
    if status == http.client.NOT_FOUND:
        raise UnknownTarget(f"{path}: has no {target}")
    if status != http.client.OK:
        raise ControlError(f"{path}: answered {status} {reason}")
    return body


def order(path: Path, target: str) -> bytes:
    """POST `target` through a control socket. Raises ControlError, in the server's words if it refuses."""
    status, reason, body = _exchange(path, "POST", target)
    if status == http.client.ACCEPTED:
        return body
    words = body.decode("utf-8", "replace").strip()
    raise ControlError(words if words and status != http.client.NOT_FOUND else f"answered {status} {reason}")


def _exchange(path: Path, method: str, target: str) -> tuple[int, str, bytes]:
    connection = _UnixConnection(str(path))
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX + 1)
        # With a size to read at most, http.client takes a short body for a whole one.
        is_whole = len(body) > ANSWER_BYTES_MAX or not response.length
    except TimeoutError:
        raise ControlError(f"{path}: no answer within {TIMEOUT_S:g} seconds") from None
    except FileNotFoundError:
        raise ServerGone(f"{path}: no such socket") from None
    except ConnectionRefusedError:
        raise ServerGone(f"{path}: nobody listens there any more") from None
    except (OSError, http.client.HTTPException) as error:
        raise ControlError(
            f"{path}: {getattr(error, 'strerror', None) or 'not an answer of Penstock'}"
        ) from None
    finally:
        connection.close()
    if not is_whole:
        raise ControlError(f"{path}: the answer was cut short")
    if len(body) > ANSWER_BYTES_MAX:
        raise ControlError(f"{path}: answered more than {ANSWER_BYTES_MAX // 2**20} MiB")
    return response.status, response.reason, body


def live_sockets(directories: Sequence[Path], prefix: str, suffix: str) -> list[Path]:
    """Find the control sockets that somebody listens on."""
    found = []
    for directory in directories:
        try:
            names = sorted(directory.glob(f"{prefix}*{suffix}"))
        except OSError:
            continue  # Not ours to read.
        found += [path for path in names if _is_live(path)]
    return found


def _is_live(path: Path) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(TIMEOUT_S)
    try:
        found = path.stat()
        # In /tmp anybody may have made the directory that is ours by its name.
        is_trusted = os.geteuid() == 0 or found.st_uid in {0, os.geteuid()}
        if not stat.S_ISSOCK(found.st_mode) or not is_trusted:
            return False
        probe.connect(str(path))
    except OSError:
        return False
    finally:
        probe.close()
    return True
