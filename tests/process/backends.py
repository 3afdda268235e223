"""Servers behind a gateway, in threads of the test: each answers with its name, and does as it is told."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Backend:
    """
    One server. `health` is the status at /healthz; a request for /held waits until `let_go`.
    """

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.health = 200
        self.checks: list[dict[str, str]] = []  # the headers of each
        self.is_holding = threading.Event()
        self._may_go = threading.Event()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status = 200
                if self.path == "/healthz":
                    status = backend.health
                    backend.checks.append({name.lower(): value for name, value in self.headers.items()})
                if self.path == "/held":
                    backend.is_holding.set()
                    backend._may_go.wait(60)
                body = backend.name.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"{host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def let_go(self) -> None:
        """Answer what was held."""
        self._may_go.set()

    def close(self) -> None:
        """Listen no more."""
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
