"""What is traced of a request on a real site, and what its app sees of it."""

import asyncio
import logging
import socket
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import StatusCode

from penstock.worker.http.outlet import RESET
from penstock.worker.spec import MatchSpec, RespondAction, TracingCells, TracingSpec
from penstock.worker.tracing.recorder import ChosenIds, Recorder

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def ask(target: str = "/a", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def parent(flags: str) -> str:
    return f"traceparent: 00-{TRACE}-{SPAN}-{flags}"


class Traced:
    """The spans of a site, and what its app has seen."""

    def __init__(self, serving: Any, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        ids = ChosenIds()
        provider = TracerProvider(ALWAYS_ON, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        spec = TracingSpec(endpoint="", cells=TracingCells(exported=0, dropped=1), **options)
        Recorder(serving.site, spec, provider.get_tracer("penstock"), ids, slot=3)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Return those that have ended."""
        return list(self.exporter.get_finished_spans())

    @property
    def only(self) -> ReadableSpan:
        """Return the one that has ended."""
        [span] = self.spans
        return span


class App:
    """Notes what it sees, and answers as the path says."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.arrived = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        carrier: dict[str, Any] = {}
        inject(carrier)
        carrier["bags"] = dict(baggage.get_all())
        self.seen.append(carrier)
        self.headers.append(dict(scope["headers"]))
        self.arrived.set()
        path = scope["path"]
        if path == "/raise":
            raise ValueError("no such thing")
        if path == "/return":
            return
        if path in {"/wait", "/body"}:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 500 if "fail" in path else 200, "headers": []})
        if path == "/stream":
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await self.goes_on.wait()
        if path in {"/cut", "/stay"}:
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            if path == "/cut":
                raise ValueError("in the middle")
            await receive()
            await receive()
            return
        await send({"type": "http.response.body", "body": b"hello"})
        if path == "/fail-and-raise":
            raise ValueError("as frameworks do")


async def test_request_has_a_span(serve: Any) -> None:
    """With what the site knows beside the request."""
    async with serve(App()) as serving:
        traced = Traced(serving)
        await serving.ask(ask("/a?token=secret"))
    span = traced.only
    attributes = dict(span.attributes or {})
    assert span.name == "GET " + attributes["http.route"]  # type: ignore[operator]
    assert span.kind is trace.SpanKind.SERVER
    assert attributes["http.response.status_code"] == 200
    assert attributes["penstock.worker"] == 3
    assert attributes["penstock.listener"] == serving.site.name
    assert "secret" not in str(attributes)
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time >= span.start_time


async def test_parent_is_taken_over(serve: Any) -> None:
    """Its trace goes on, and the app is a child of ours: by the context, and by the header."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving, sample=0.0)
        await serving.ask(
            ask("/a", parent("01"), "tracestate: a=1", "tracestate: b=2", "baggage: user=alice")
        )
    span = traced.only
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert span.parent.is_remote
    assert span.context is not None
    ours = f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert app.seen == [
        {
            "traceparent": ours,
            "tracestate": "a=1,b=2",
            "baggage": "user=alice",
            "bags": {"user": "alice"},
        }
    ]
    assert app.headers[0][b"traceparent"] == ours.encode()
    assert app.headers[0][b"tracestate"] == b"a=1,b=2"
    assert app.headers[0][b"baggage"] == b"user=alice"


@pytest.mark.parametrize("extra", [(), ("tracestate: a=1", "baggage: user=alice")])
async def test_caller_that_does_not_sample_is_followed(serve: Any, extra: tuple[str, ...]) -> None:
    """Nothing is recorded, and the app hears of the same trace."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving, sample=1.0)
        await serving.ask(ask("/a", parent("00"), *extra))
    assert traced.spans == []
    assert app.seen[0]["traceparent"] == f"00-{TRACE}-{SPAN}-00"
    assert app.headers[0][b"traceparent"] == f"00-{TRACE}-{SPAN}-00".encode()
    assert app.seen[0]["bags"] == ({"user": "alice"} if extra else {})
    assert app.seen[0].get("tracestate") == ("a=1" if extra else None)


@pytest.mark.parametrize(("flags", "ratio", "count"), [("01", 0.0, 0), ("00", 1.0, 1)])
async def test_caller_need_not_be_followed(serve: Any, flags: str, ratio: float, count: int) -> None:
    """Strangers are not to decide what we pay; the trace is still theirs."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving, sample=ratio, follows_parent=False)
        await serving.ask(ask("/a", parent(flags)))
    assert len(traced.spans) == count
    assert app.seen[0]["traceparent"].startswith(f"00-{TRACE}-")
    assert app.seen[0]["traceparent"].endswith(f"-0{count}")
    assert app.headers[0][b"traceparent"].decode() == app.seen[0]["traceparent"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("traceparent: rubbish", "tracestate: a=1"),
        ("tracestate: a=1",),
        (parent("01"), parent("01")),
        ("baggage: user=alice",),
    ],
)
@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_ratio_decides_where_no_caller_has(serve: Any, headers: tuple[str, ...], ratio: float) -> None:
    """What is no traceparent is none; the app hears of a new trace, and of the decision."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving, sample=ratio)
        await serving.ask(ask("/a", *headers) * 2)
    assert len(traced.spans) == (2 if ratio else 0)
    first, second = app.seen
    assert first["traceparent"][3:35] != second["traceparent"][3:35]
    assert TRACE not in first["traceparent"]
    assert first["traceparent"][53:] in (("01", "03") if ratio else ("00",))
    assert "tracestate" not in first
    assert app.headers[0][b"traceparent"].decode() == first["traceparent"]
    assert b"tracestate" not in app.headers[0]
    assert (first["bags"] == {"user": "alice"}) == ("baggage: user=alice" in headers)


async def test_ratio_is_kept(serve: Any) -> None:
    """About so many of many, each by its own trace id."""
    async with serve(App()) as serving:
        traced = Traced(serving, sample=0.5)
        await serving.ask(ask() * 200)
    assert 50 < len(traced.spans) < 150  # Outside once in 10**12 runs.
    for span in traced.spans:
        assert span.context is not None
        assert span.context.trace_id & (2**64 - 1) < 2**63


async def test_apps_own_tracer_follows(serve: Any) -> None:
    """An app with a provider of its own and the usual sampler records exactly when we do."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    assert isinstance(provider.sampler, ParentBased)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span("work"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with serve(app) as serving:
        traced = Traced(serving, sample=0.5)
        await serving.ask(ask() * 40)
    ours = {span.context.span_id for span in traced.spans if span.context is not None}
    assert {span.parent.span_id for span in exporter.get_finished_spans() if span.parent} == ours
    assert len(exporter.get_finished_spans()) == len(ours)


@pytest.mark.parametrize("path", ["/raise", "/fail-and-raise", "/cut"])
async def test_what_the_app_raised_is_an_event(serve: Any, path: str, caplog: Any) -> None:
    """Before it answered, after, or in the middle: type and message, for the traceback is in the log."""
    with caplog.at_level(logging.CRITICAL):
        async with serve(App()) as serving:
            traced = Traced(serving)
            client = await serving.client()
            await client.send(ask(path))
            await client.rest() if path != "/fail-and-raise" else await client.response()
    span = traced.only
    [event] = span.events
    assert event.name == "exception"
    assert dict(event.attributes or {})["exception.type"] == "ValueError"
    assert set(event.attributes or {}) == {"exception.type", "exception.message"}
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["http.response.status_code"] == (200 if path == "/cut" else 500)


async def test_app_that_falls_short_is_an_error(serve: Any, caplog: Any) -> None:
    """It raised nothing, and gave nothing."""
    with caplog.at_level(logging.CRITICAL):
        async with serve(App()) as serving:
            traced = Traced(serving)
            await serving.ask(ask("/return"))
    assert traced.only.status.status_code is StatusCode.ERROR
    assert (traced.only.attributes or {})["http.response.status_code"] == 500


async def test_error_status_is_an_error(serve: Any) -> None:
    """Without an exception its type is the status."""
    async with serve(App()) as serving:
        traced = Traced(serving)
        await serving.ask(ask("/fail"))
    assert traced.only.status.status_code is StatusCode.ERROR
    assert (traced.only.attributes or {})["error.type"] == "500"
    assert traced.only.events == ()


async def test_stream_ends_with_its_last_byte(serve: Any) -> None:
    """Not with its head."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving)
        client = await serving.client()
        await client.send(ask("/stream"))
        await client.until(b"one\r\n")
        assert traced.spans == []
        app.goes_on.set()
        await client.until(b"0\r\n\r\n")
    assert (traced.only.attributes or {})["http.response.status_code"] == 200


@pytest.mark.parametrize(("path", "status"), [("/wait", None), ("/stay", 200)])
async def test_client_that_goes_ends_the_span(serve: Any, path: str, status: int | None) -> None:
    """With the status that it has seen, if any; that it left is no error of ours."""
    app = App()
    async with serve(app) as serving:
        traced = Traced(serving)
        client = await serving.client()
        await client.send(ask(path))
        if status is None:
            await app.arrived.wait()
        else:
            await client.until(b"one\r\n")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.sock.close()
        async with asyncio.timeout(10):
            while not traced.spans:
                await asyncio.sleep(0)
    span = traced.only
    assert (span.attributes or {}).get("http.response.status_code") == status
    assert (span.attributes or {})["penstock.is_cut"] is True


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 100", b""),  # Refused by its head,
        ("Transfer-Encoding: chunked", b"20\r\n" + b"x" * 32),  # and in the middle.
    ],
)
async def test_refused_body_has_its_status(serve: Any, head: str, body: bytes) -> None:
    """Though no app was called, or it was never heard."""
    async with serve(App(), body_bytes=10) as serving:
        traced = Traced(serving)
        client = await serving.client()
        await client.send(ask("/body", head, method="POST", body=body))
        assert b" 413 " in await client.rest()
    assert (traced.only.attributes or {})["http.response.status_code"] == 413


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_fixed_responses_are_traced_too(serve: Any, ratio: float) -> None:
    """There is no app, and no context to set."""
    async with serve(App(), routes=((MatchSpec(), RespondAction(status=204)),)) as serving:
        traced = Traced(serving, sample=ratio)
        await serving.ask(ask() + ask("/a", parent("00")))
    assert len(traced.spans) == ratio


async def test_unmatched_request_has_no_route(serve: Any) -> None:
    """Its name is the method alone: paths are as many as clients like."""
    async with serve(App(), routes=((MatchSpec(path="/else"), RespondAction()),)) as serving:
        traced = Traced(serving)
        await serving.ask(ask("/secret-path"))
    assert traced.only.name == "GET"
    assert "http.route" not in (traced.only.attributes or {})
    assert (traced.only.attributes or {})["http.response.status_code"] == 404


@pytest.mark.parametrize("headers", [(), (parent("00"),), (parent("01"),)])
async def test_response_header_if_asked_for(serve: Any, headers: tuple[str, ...]) -> None:
    """The same identity as the app has; and none unless it was asked for."""
    for shows in (True, False):
        app = App()
        async with serve(app) as serving:
            Traced(serving, sample=0.0, response_header=shows)
            [response] = await serving.ask(ask("/a", *headers))
        expected = app.seen[0]["traceparent"] if shows else None
        assert response.headers.get("traceparent") == expected


async def test_headers_that_come_again_stay_as_they_came(serve: Any) -> None:
    """They are parsed once and kept: what one request's app is told is not told to the next."""
    app = App()
    async with serve(app) as serving:
        Traced(serving, sample=0.5)
        await serving.ask(ask() * 20)
    parents = [headers[b"traceparent"] for headers in app.headers]
    assert len(set(parents)) == 20
