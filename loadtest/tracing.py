#!/usr/bin/env python3
"""
What tracing costs a request, in CPU time of the worker, its exporting thread included.

    python loadtest/tracing.py [--requests 60000] [--rounds 7]

One process on core 0 serves the hello app: a `Site` without tracing and with
it, and uvicorn without anything and with opentelemetry-instrumentation-asgi, if
they are installed (`make peers`). Each is asked without a traceparent and with
one that is not sampled, another one each time. What tracing costs is told by
the difference within a round, for the machine may be busy with other things.
"""

import argparse
import asyncio
import http.server
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import floor
import uvloop
from apps.hello import app
from bench.server import free_port, own_cpu_s

from penstock.worker.identity import Identity
from penstock.worker.spec import TracingCells, TracingSpec

# Kind of server, ratio of traced requests, whether requests have a traceparent; None: no tracing.
CASES: dict[str, tuple[str, float | None, bool]] = {
    "penstock": ("penstock", None, False),
    "penstock, traceparent": ("penstock", None, True),
    "penstock unsampled": ("penstock", 0.0, False),
    "penstock unsampled, traceparent": ("penstock", 0.0, True),
    "penstock sampled": ("penstock", 1.0, False),
    "uvicorn": ("uvicorn", None, False),
    "uvicorn, traceparent": ("uvicorn", None, True),
    "uvicorn unsampled": ("uvicorn", 0.0, False),
    "uvicorn unsampled, traceparent": ("uvicorn", 0.0, True),
    "uvicorn sampled": ("uvicorn", 1.0, False),
}
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: loadtest\r\nAccept: */*\r\n%b\r\n"
END = b"Hello, world!"
CLIENTS = 32
PARENTS = 4096
START_S = 20.0
SETTLE_S = 2.0  # The last spans are sent.


def serve(kind: str, ratio: float | None, port: int, url: str) -> None:
    """Serve until killed."""
    if kind == "penstock":
        uvloop.run(serve_penstock(ratio, port, url))
    else:
        serve_uvicorn(ratio, port, url)


async def serve_penstock(ratio: float | None, port: int, url: str) -> None:
    """Serve by one site."""
    loop = asyncio.get_running_loop()
    site = await floor.site(app)
    if ratio is not None:
        from penstock.worker.tracing.tracing import Tracing  # noqa: PLC0415

        spec = TracingSpec(endpoint=url, sample=ratio, cells=TracingCells(exported=0, dropped=1))
        tracing = Tracing(spec, memoryview(bytearray(24)).cast("Q"), [site], Identity())

        def tick() -> None:
            tracing.tick(time.monotonic())
            loop.call_later(0.5, tick)

        tick()
    server = await loop.create_server(site.connect, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def serve_uvicorn(ratio: float | None, port: int, url: str) -> None:
    """Serve by uvicorn, as its users add tracing to it."""
    import uvicorn  # noqa: PLC0415

    served: Any = app
    if ratio is not None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

        provider = TracerProvider(ParentBasedTraceIdRatio(ratio))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        # Without the spans that it makes of each message, which nobody else has.
        served = OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=["receive", "send"])
    uvicorn.run(
        served,
        port=port,
        log_level="error",
        access_log=False,
        http="httptools",
        loop="uvloop",
        lifespan="off",
    )


def collect(port: int) -> None:
    """Take spans, and do nothing with them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def requests(has_parent: bool) -> list[bytes]:
    """Write what is asked, in turn."""
    if not has_parent:
        return [REQUEST % b""]
    bits = random.Random(1).getrandbits
    return [REQUEST % (b"traceparent: 00-%032x-%016x-00\r\n" % (bits(128), bits(64))) for _ in range(PARENTS)]


def ask(clients: list[socket.socket], count: int, asked: list[bytes]) -> None:
    """Send requests on all connections, and read the answers."""
    at = 0
    for _ in range(count // len(clients)):
        for client in clients:
            client.sendall(asked[at % len(asked)])
            at += 1
        for client in clients:
            answer = b""
            while not answer.endswith(END):
                part = client.recv(4096)
                if not part:
                    raise SystemExit("the server closed a connection")
                answer += part


def wait_until(is_so: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    until_s = time.monotonic() + START_S
    while not is_so():
        if time.monotonic() > until_s:
            raise SystemExit(f"waited in vain for {what}")
        select.select([], [], [], 0.05)


def is_there(port: int) -> bool:
    """Tell whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def measure(case: str, count: int, url: str) -> float:
    """Serve once; return CPU µs a request."""
    kind, ratio, has_parent = CASES[case]
    port = free_port()
    words = [sys.executable, __file__, "--serve", kind, "--port", str(port), "--url", url]
    words += [] if ratio is None else ["--ratio", str(ratio)]
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(["taskset", "-c", "0", *words]))
        stack.callback(server.kill)
        wait_until(lambda: is_there(port), "the server")
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=START_S))
            for _ in range(CLIENTS)
        ]
        asked = requests(has_parent)
        ask(clients, count // 10, asked)
        before_s = own_cpu_s(server.pid)
        ask(clients, count, asked)
        if ratio:
            time.sleep(SETTLE_S)
        return (own_cpu_s(server.pid) - before_s) / (count // CLIENTS * CLIENTS) * 1e6


def base_of(case: str) -> str | None:
    """Name the case without tracing that a case is compared with."""
    kind, ratio, has_parent = CASES[case]
    return None if ratio is None else kind + (", traceparent" if has_parent else "")


def main() -> None:
    """Measure in alternation and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--ratio", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == "collector":
        collect(options.port)
    elif options.serve:
        serve(options.serve, options.ratio, options.port, options.url)
    else:
        compare(options.requests, options.rounds)


def compare(count: int, rounds: int) -> None:
    """Measure every case in each round."""
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0} or {0})
    has_peer = all(find_spec(name) for name in ("uvicorn", "opentelemetry.instrumentation"))
    cases = [case for case in CASES if has_peer or case.startswith("penstock")]
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/traces"
    found: dict[str, list[float]] = {case: [] for case in cases}
    words = [sys.executable, __file__, "--serve", "collector", "--port", str(port)]
    with subprocess.Popen(words) as collector:
        try:
            wait_until(lambda: is_there(port), "the collector")
            for _ in range(rounds):
                for case in cases:
                    found[case].append(measure(case, count, url))
                print(*(f"{values[-1]:.1f}" for values in found.values()), flush=True)
        finally:
            collector.kill()
    for case in cases:
        line = f"{case:32} {statistics.median(found[case]):6.1f} µs"
        base = base_of(case)
        if base is not None:
            extra = [more - less for more, less in zip(found[case], found[base], strict=True)]
            line += f", {statistics.median(extra):+.1f} µs by tracing"
        print(line)


if __name__ == "__main__":
    main()
