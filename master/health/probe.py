"""
One check of one server: a connection, a request, the head of an answer.

It ends by itself, at the deadline at the latest, and leaves nothing behind.
"""

import asyncio
from typing import NamedTuple

from penstock import __version__
from penstock.master.watched import HealthSettings, WatchedServer
from penstock.worker.gateway.response_reader import ResponseReader, UpstreamError
from penstock.worker.limits import HEALTH_ANSWER_BYTES_MAX

USER_AGENT = f"penstock/{__version__} (health check)"


class Finding(NamedTuple):
    """What came of a check: the label that it is counted under, and the reason in words, if it failed."""

    result: str
    reason: str = ""

    @property
    def has_passed(self) -> bool:
        """Tell whether the server is well."""
        return self.result == "passed"


async def probe(server: WatchedServer, settings: HealthSettings) -> Finding:
    """Check a server once."""
    visit = _Visit(request_of(server, settings) if settings.type == "http" else None, settings)
    try:
        async with asyncio.timeout(settings.timeout_s):
            await _connect(visit, server.address, settings.port)
            finding = await visit.finding
            if finding.has_passed and not visit.ended.done():
                await _end_in_peace(visit)
            return finding
    except TimeoutError:
        # What was awaited at the deadline was cancelled with that.
        if visit.finding.done() and not visit.finding.cancelled():
            return visit.finding.result()
        what = "no answer" if visit.is_made else "no connection"
        return Finding("timeout", f"{what} within {settings.timeout_s:g} s")
    except OSError as error:
        return Finding("connect", f"cannot connect: {error.strerror or error}")
    finally:
        visit.leave()


def request_of(server: WatchedServer, settings: HealthSettings) -> bytes:
    """Write the request of a check."""
    host = settings.host or host_of(server)
    named = {name.lower() for name, _ in settings.headers}
    fields = [("host", host)]
    if "user-agent" not in named:
        fields.append(("user-agent", USER_AGENT))
    if "accept" not in named:
        fields.append(("accept", "*/*"))
    fields += [*settings.headers, ("connection", "close")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{settings.method} {settings.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def host_of(server: WatchedServer) -> str:
    """Tell what a server is called in a request: by the name that it was found by, if any."""
    if server.address.startswith("unix:"):
        return "localhost"
    if server.name and not server.name.startswith("srv:"):
        return server.name
    return server.address


def judge_status(status: int, settings: HealthSettings) -> Finding:
    """Tell whether a server that answers with this status is well."""
    if any(first <= status <= last for first, last in settings.status):
        return Finding("passed")
    return Finding("status", f"it answered with {status}")


async def _connect(visit: "_Visit", address: str, port: int | None) -> None:
    loop = asyncio.get_running_loop()
    if address.startswith("unix:"):
        await loop.create_unix_connection(lambda: visit, address.removeprefix("unix:"))
        return
    host, _, own_port = address.rpartition(":")
    await loop.create_connection(lambda: visit, host.strip("[]"), port or int(own_port))


async def _end_in_peace(visit: "_Visit") -> None:
    """Wait for the rest of the answer: a server that is cut off complains in its log."""
    try:
        await visit.ended
    except OSError:
        pass


class _Visit(asyncio.Protocol):
    """The connection of one check. Without a request it is enough that there is one."""

    def __init__(self, request: bytes | None, settings: HealthSettings) -> None:
        loop = asyncio.get_running_loop()
        self.finding: asyncio.Future[Finding] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.is_made = False
        self._request = request
        self._settings = settings
        self._reader = ResponseReader()
        self._reader.expect(settings.method)
        self._left = HEALTH_ANSWER_BYTES_MAX

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_made = True
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        if self._request is None:
            self._find(Finding("passed"))
            self._end()
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._left -= len(data)
        reader = self._reader
        try:
            reader.feed(data)
        except UpstreamError as error:
            self._find(Finding("protocol", str(error)))
            self._end()
            return
        reader.take()
        if reader.is_head_complete:
            self._find(judge_status(reader.status, self._settings))
        if reader.is_complete or self._left <= 0:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._find(Finding("protocol", f"the connection broke: {exc}" if exc else "it closed the connection"))
        self._end()

    def leave(self) -> None:
        """Close, at once."""
        self._find(Finding("timeout"))
        self._end()
        if self.is_made:
            self._transport.abort()

    def _find(self, finding: Finding) -> None:
        if not self.finding.done():
            self.finding.set_result(finding)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
