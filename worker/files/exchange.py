"""
Answers a request with a file: what HTTP has to say of it, and the sending.

What is small and in memory is answered at once, without a task; all else, which
has to wait for a disk or for the client, runs in one, as an app would.
"""

import logging
import os
import secrets
import time
from contextvars import Context
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from penstock.shm.board import method_tag
from penstock.worker.asgi.types import Receive, Scope, Send, is_disconnect
from penstock.worker.disk import in_thread, read_cached
from penstock.worker.files.conditions import Verdict, is_same, judge
from penstock.worker.files.encodings import choose
from penstock.worker.files.folder import ELSEWHERE, Folder, Found, Refusal
from penstock.worker.files.ranges import Span, spans_of
from penstock.worker.files.target import Target, Variant
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.phases import STARTED, WAITING
from penstock.worker.http.pour import DONE as SENT
from penstock.worker.http.pour import FileShrunk, Pour
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.http.stretches import Stretch, send_stretches
from penstock.worker.http.tasks import IS_EAGER, TASK_NAME, Task
from penstock.worker.limits import FILE_WHOLE_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.route import Route

log = logging.getLogger(__name__)

_ALLOW = (b"allow", b"GET, HEAD, OPTIONS")
_READ = frozenset(
    (
        *(b"accept-encoding", b"range", b"if-range", b"if-match", b"if-none-match"),
        *(b"if-modified-since", b"if-unmodified-since"),
    )
)


class Body(NamedTuple):
    """A body that is still to be sent, with the file that must stay open for it."""

    variant: Variant
    stretches: list[Stretch]
    tail: bytes = b""


class FileExchange(Exchange):
    """An exchange of a `files:` route; of a class of its own for each."""

    __slots__ = ("_become", "_body", "_poured")

    folder: ClassVar[Folder]
    tag: ClassVar[int]  # on the board
    failure_text = "the file cannot be read"

    _body: Body | None
    # A file that was begun to be sent, and what its last turn came to.
    _poured: Pour | None
    _become: int

    def answer(self, route: "Route") -> None:
        """Answer at once, or begin to."""
        method = self.scope["method"]
        if method == "OPTIONS":
            self.respond(204, (_ALLOW,), b"")
            return
        if method not in {"GET", "HEAD"}:
            text = error_text(405, "a file takes GET and HEAD")
            self.respond(405, (*TEXT_HEADERS, _ALLOW), text)
            return
        self._body = self._poured = None
        raw_path = self.scope["raw_path"]
        try:
            found: Found | None = self.folder.kept(raw_path)
            if found is None:
                found = self.folder.find(raw_path, may_wait=False)
                if type(found) is Target:
                    self.folder.keep(raw_path, found)
            self._body = self._respond_with(found)
            if self._body is None or self._sends_at_once(self._body):
                return
        except BlockingIOError:
            pass
        except (OSError, FileShrunk) as error:
            if not isinstance(error, FileShrunk) or self.phase != WAITING:
                self._app_failed(error)
                return
            # It was written in place since it was looked at.
            self.folder.forget(raw_path)
        self._work_on(method)

    def _work_on(self, method: str) -> None:
        site = self.connection.site
        self.entry = site.board.begin(self.tag | method_tag(method), self.started_ns, self.scope["raw_path"])
        run = self.run(self._work, self.scope)
        if IS_EAGER:
            self.task = Task(run, loop=site.loop, name=TASK_NAME, context=Context(), eager_start=True)
        else:
            self.task = Task(run, loop=site.loop, name=TASK_NAME, context=Context())

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = self._body
        if body is None:
            raw_path = scope["raw_path"]
            found = await in_thread(self._find, raw_path)
            if type(found) is Target:
                self.folder.keep(raw_path, found)
            self.assure_client()
            body = self._respond_with(found)
        poured, self._poured = self._poured, None  # Each knows the other: a cycle would keep the file open.
        if poured is not None:
            await poured.run(self._become)
            self.write(b"", b"", False)
        elif body is not None:
            await send_stretches(self, body.stretches, body.tail)

    def _sends_at_once(self, body: Body) -> bool:
        """Begin to send a file; return whether that was all of it."""
        connection = self.connection
        if len(body.stretches) > 1 or connection.site.is_tls or connection.transport.get_write_buffer_size():
            return False
        lead, fd, offset, size = body.stretches[0]
        reply, head = self.compose(size, is_last=True)
        self.commit(reply)
        poured = Pour(self, head + lead, fd, offset, size)
        self._become = poured.turn()
        if self._become != SENT:
            self._poured = poured
            return False
        self.write(b"", b"", False)
        return True

    def _find(self, raw_path: bytes) -> Found:
        return self.folder.find(raw_path, may_wait=True)

    def _respond_with(self, found: Found) -> Body | None:
        """Answer with what was found; return a body that takes its time, after the response was started."""
        if type(found) is Target:
            return self._respond_target(found)
        if found is ELSEWHERE:
            raw_path, query, _ = self.asked
            location = raw_path + b"/" + (b"?" + query if query else b"")
            self.respond(308, ((b"location", location),), b"")
            return None
        assert isinstance(found, Refusal)
        status = found.status
        said = "there is no such file" if status == HTTPStatus.NOT_FOUND else "this file may not be read"
        self.respond(status, TEXT_HEADERS, error_text(status, said))
        return None

    def _respond_target(self, target: Target) -> Body | None:
        asked = self._asked()
        variant = target.only or target.variants[choose(asked.get(b"accept-encoding"), target.sizes)]
        asked.pop(b"accept-encoding", None)
        if asked:
            verdict = judge(asked, variant.etag, variant.modified_s)
            if verdict is Verdict.NOT_MODIFIED:
                self.respond(304, variant.validators, b"")
                return None
            if verdict is Verdict.FAILED:
                self.respond(412, TEXT_HEADERS, error_text(412, "the file is another than the request wants"))
                return None
        if self.scope["method"] == "HEAD":
            length = (b"content-length", b"%d" % variant.size)
            self.respond(200, (*variant.headers, length), b"")
            return None
        spans = self._spans(asked, variant)
        if spans is None:
            return self._send(200, variant.headers, variant, 0, variant.size)
        if not spans:
            size = (b"content-range", b"bytes */%d" % variant.size)
            text = error_text(416, "the file has no such range")
            self.respond(416, (*TEXT_HEADERS, size), text)
            return None
        if len(spans) == 1:
            first, last = spans[0]
            headers = [*variant.headers, (b"content-range", b"bytes %d-%d/%d" % (first, last, variant.size))]
            return self._send(206, headers, variant, first, last - first + 1)
        return self._start_parts(variant, spans)

    def _asked(self) -> dict[bytes, bytes]:
        """Collect the headers that matter; the lines of a list become one."""
        asked: dict[bytes, bytes] = {}
        for name, value in self.scope["headers"]:
            if name in _READ:
                asked[name] = asked[name] + b", " + value if name in asked else value
        return asked

    @staticmethod
    def _spans(asked: dict[bytes, bytes], variant: Variant) -> list[Span] | None:
        value = asked.get(b"range")
        if value is None:
            return None
        if_range = asked.get(b"if-range")
        if if_range is not None and not is_same(if_range, variant.etag, variant.modified_s, time.time()):
            return None
        return spans_of(value, variant.size)

    def _send(
        self, status: int, headers: list[tuple[bytes, bytes]], variant: Variant, offset: int, count: int
    ) -> Body | None:
        if count <= FILE_WHOLE_BYTES_MAX:
            fd = variant.file.fd
            data = read_cached(fd, offset, count) if count else b""
            if data is not None and len(data) == count:
                self.respond(status, headers, bytes(data))
                return None
            # Else it may be that just its beginning is in memory.
            if data is not None and os.fstat(fd).st_size < offset + count:
                raise FileShrunk
        self._start(status, headers)
        return Body(variant, [Stretch(b"", variant.file.fd, offset, count)])

    def _start_parts(self, variant: Variant, spans: list[Span]) -> Body:
        """Start a response of several ranges (RFC 9110, section 14.6)."""
        boundary = secrets.token_hex(12).encode()
        stretches = [
            Stretch(
                b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: bytes %d-%d/%d\r\n\r\n"
                % (boundary, variant.media, first, last, variant.size),
                variant.file.fd,
                first,
                last - first + 1,
            )
            for first, last in spans
        ]
        media = (b"content-type", b"multipart/byteranges; boundary=" + boundary)
        self._start(206, [media, *variant.headers[1:]])
        return Body(variant, stretches, b"\r\n--%b--\r\n" % boundary)

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert self.phase == WAITING
        self.status = status
        self._headers = headers if self.notes is None else self.notes.complete(headers)
        self.phase = STARTED

    def _tell_failure(self, error: BaseException) -> None:
        if is_disconnect(error, set()):
            log.debug("Gave up %s: the client is gone", self.describe())
        elif isinstance(error, FileShrunk):
            log.error("The file became shorter while it was sent: %s", self.describe())
        elif isinstance(error, OSError):
            self.folder.forget()
            log.error("Cannot read the file of %s: %s", self.describe(), error.strerror or error)
        else:
            log.error("Cannot answer %s", self.describe(), exc_info=error)


def exchange_of(folder: Folder, tag: int) -> type[Exchange]:
    """Make the class of the exchanges of a route."""
    return type("FileExchange", (FileExchange,), {"__slots__": (), "folder": folder, "tag": tag})
