"""The limit of requests at a time, for apps that are called in threads."""

import threading
from typing import Any

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Held:
    """An app that answers when it is let go, and knows how many it is at work on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        with self._lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(30)
        with self._lock:
            self.now -= 1
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"done"]


async def test_requests_beyond_the_limit_are_turned_away(serve: Any) -> None:
    """
    Although there are threads for them; and when one is done, the next is let in.
    """
    app = Held()
    async with serve(app, concurrency=1) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await server.until(lambda: app.calls == 1)
        await second.send(GET)
        refused = await second.response()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        app.go.set()
        assert (await first.response()).body == b"done"
        await server.until(lambda: server.site.gate.inside_count == 0)
        await second.send(GET)
        assert (await second.response()).body == b"done"


async def test_requests_wait_for_their_turn(serve: Any) -> None:
    """
    Ten at once, two at a time; one whose client leaves is never called, and is no error of ours.
    """
    app = Held()
    seen: list[tuple[int, int]] = []
    async with serve(app, concurrency=2, queue_timeout_s=30.0) as server:
        server.site.watch_requests(observer=lambda exchange, _, sent: seen.append((exchange.status, sent)))
        clients = [await server.client() for _ in range(10)]
        for client in clients:
            await client.send(GET)
        await server.until(lambda: app.calls == 2 and server.site.gate.queued_count == 8)
        clients.pop().sock.close()
        await server.until(lambda: server.site.gate.queued_count == 7)
        await server.until(lambda: seen == [(499, 0)])
        app.go.set()
        for client in clients:
            assert (await client.response()).body == b"done"
        assert (app.calls, app.most) == (9, 2)
        await server.until(lambda: server.site.gate.inside_count == 0)
