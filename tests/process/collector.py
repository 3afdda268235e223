"""An OTLP receiver: decodes what it is sent, and can hold it, refuse it or be killed."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.process.harness import DEADLINE_S, free_port, wait_for

Span = dict[str, Any]


class Collector:
    """Receives spans in threads of this process, as plain dictionaries."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}  # of the last request
        self.posts = 0
        self._spans: list[Span] = []
        self._goes_on = threading.Event()
        self._goes_on.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = DEADLINE_S

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.posts += 1
                collector.headers = {name.lower(): value for name, value in self.headers.items()}
                collector._goes_on.wait(DEADLINE_S)
                if collector.status == 200 and self.path == "/v1/traces":
                    collector._spans += decoded(body)
                self.send_response(collector.status if self.path == "/v1/traces" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # A worker that would not wait.

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Take requests and answer none."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Answer, also those that were held."""
        self._goes_on.set()

    def spans(self, scope: str | None = None) -> list[Span]:
        """Return what has come, from one tracer or from all."""
        return [span for span in list(self._spans) if scope in (None, span["scope"])]

    def wait_spans(self, count: int, scope: str | None = None) -> list[Span]:
        """Wait until so many have come."""
        wait_for(lambda: len(self.spans(scope)) >= count, f"{count} spans of {scope}")
        return self.spans(scope)

    def close(self) -> None:
        """Stop listening."""
        self._goes_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)


ROOT = Path(__file__).parents[2]


class CollectorProcess:
    """One that can be killed: answers 200 to all, and writes what it was sent to a file."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self._out = folder / "spans.jsonl"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.collector", str(self.port), str(self._out)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "loadtest")},  # as pytest has it
        )
        wait_for(self._out.exists, "the collector")

    def spans(self) -> list[Span]:
        """Return what it has taken."""
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(DEADLINE_S)


def decoded(body: bytes) -> list[Span]:
    """Read a request as a collector does."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        {
            "scope": scoped.scope.name,
            "name": span.name,
            "kind": span.kind,
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "status": span.status.code,
            "resource": plain(per_resource.resource.attributes),
            "events": [(event.name, plain(event.attributes)) for event in span.events],
            "ns": span.end_time_unix_nano - span.start_time_unix_nano,
            **plain(span.attributes),
        }
        for per_resource in request.resource_spans
        for scoped in per_resource.scope_spans
        for span in scoped.spans
    ]


def plain(attributes: Any) -> dict[str, Any]:
    """Make plain values of attributes."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def main(port: str, out: str) -> None:
    """Receive until killed."""
    collector = Collector(int(port))
    written = 0
    with Path(out).open("w") as file:
        while True:
            spans = collector.spans()
            for span in spans[written:]:
                file.write(json.dumps(span) + "\n")
            file.flush()
            written = len(spans)
            threading.Event().wait(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
