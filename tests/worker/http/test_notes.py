"""Who watches requests sees each response once, as it went out, and can disturb none."""

import contextvars
import logging
from contextvars import Context
from typing import Any

import pytest

from penstock.worker.http.exchange import Exchange
from penstock.worker.http.notes import Notes
from penstock.worker.spec import MatchSpec, RespondAction

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"

Seen = list[tuple[str, int, int, int]]


def _watch(serving: Any, **options: Any) -> Seen:
    seen: Seen = []

    def observer(exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        seen.append((exchange.describe().split(" (")[0], exchange.status, elapsed_us, sent_bytes))

    serving.site.watch_requests(observer=observer, **options)
    return seen


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    await send({"type": "http.response.start", "status": 500 if path == "/fail" else 200, "headers": []})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_observer_sees_each_response_and_its_size(serve: Any) -> None:
    """
    Plain, streamed and pipelined ones, each with what went over the wire for it.
    """
    async with serve(_hello) as serving:
        seen = _watch(serving)
        client = await serving.client()
        for target in (b"/a?b=c", b"/stream"):
            await client.send(GET.replace(b"/a?b=c", target))
            received_before = serving.site.sent_bytes
            await client.response()
            assert seen[-1][0] == f"GET {target.decode()}"
            assert seen[-1][1] == 200
            assert 0 <= seen[-1][2] < 10_000_000
            assert seen[-1][3] == serving.site.sent_bytes - received_before
        assert len(seen) == 2
        await client.send(GET * 3)
        for _ in range(3):
            await client.response()
        assert len(seen) == 5


async def test_observer_may_ask_for_slow_and_failed_responses_alone(serve: Any) -> None:
    """
    So that watching costs nothing where all is well.
    """
    async with serve(_hello) as serving:
        seen = _watch(serving, from_us=60_000_000)
        await serving.ask(GET + GET.replace(b"/a?b=c", b"/fail"))
        assert [(line, status) for line, status, _, _ in seen] == [("GET /fail", 500)]


async def test_observer_that_raises_costs_no_response(serve: Any, caplog: Any) -> None:
    """
    Taking note is worth less than the answer.
    """

    def observer(exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        raise OSError("no space left on device")

    async with serve(_hello) as serving:
        serving.site.watch_requests(observer=observer)
        with caplog.at_level(logging.ERROR):
            [response] = await serving.ask(GET)
    assert response.body == b"hello"
    assert "cannot take note of GET /a?b=c" in caplog.text


@pytest.mark.parametrize("is_app", [True, False])
async def test_opening_adds_headers_and_context(serve: Any, is_app: bool) -> None:
    """
    An identity that is given before the app runs reaches the app and the client.
    """
    variable = contextvars.ContextVar("variable", default="unset")
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(variable.get())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Own", b"app")]})
        await send({"type": "http.response.body"})

    def opening(exchange: Exchange, context: Context | None) -> None:
        exchange.notes = Notes()
        exchange.notes.headers = ((b"x-own", b"opening"), (b"x-request-id", b"7"))
        if context is not None:
            context.run(variable.set, "set")

    action = {} if is_app else {"routes": ((MatchSpec(), RespondAction()),)}
    async with serve(app, **action) as serving:
        serving.site.watch_requests(opening=opening)
        [response] = await serving.ask(GET)
    headers = {name.lower(): value for name, value in response.headers.items()}
    assert headers["x-request-id"] == "7"
    assert headers["x-own"] == ("app" if is_app else "opening")
    assert heard == (["set"] if is_app else [])
    assert variable.get() == "unset"


async def test_refusals_are_shown_to_those_who_watch_them(serve: Any) -> None:
    """
    What never became a request: with what there is of it, the status and the bytes of the answer.
    """
    seen: list[tuple[bytes, int, int]] = []

    async with serve(_hello) as serving:
        observed = _watch(serving)
        serving.site.watch_requests(
            refusal=lambda client, head, status, size: seen.append((head.split(b"\r\n")[0], status, size))
        )
        before = serving.site.sent_bytes
        [response] = await serving.ask(b"GET /a HTTP/1.1\r\n\r\n")
        assert seen == [(b"GET /a HTTP/1.1", 400, serving.site.sent_bytes - before)]
    assert response.status == 400
    assert observed == []


async def test_refusal_whose_watcher_raises_is_answered(serve: Any, caplog: Any) -> None:
    """
    Taking note is worth less than the answer.
    """

    def refusal(*_: Any) -> None:
        raise OSError("no space left on device")

    async with serve(_hello) as serving:
        serving.site.watch_requests(refusal=refusal)
        [response] = await serving.ask(b"GET /a HTTP/1.1\r\n\r\n")
    assert response.status == 400
    assert "cannot take note of a refused request" in caplog.text


async def test_body_that_is_refused_is_shown_with_the_answer(serve: Any) -> None:
    """
    It was a request, so it is its observers' affair.
    """
    async with serve(_hello, body_bytes=10) as serving:
        seen = _watch(serving)
        before = serving.site.sent_bytes
        await serving.ask(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
        assert [(line, status, size) for line, status, _, size in seen] == [
            ("POST /a", 413, serving.site.sent_bytes - before)
        ]
