"""
A real Prometheus that scrapes a server every few tenths of a second, and promtool.

Both come with Debian's package `prometheus`; where it is missing a test fails, because
alerts and dashboards that nobody has tried are not known to work.
"""

import http.client
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.process.harness import DEADLINE_S, free_port, get, wait_for

ETC = Path(__file__).parents[2] / "etc"
TEXT_FORMAT = "text/plain;version=0.0.4"
# A scrape takes milliseconds, and that of a busy machine at most these.
SCRAPE = "400ms"


def program(name: str) -> str:
    """Find a program of Debian's package."""
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed: apt install prometheus"
    return found


def promtool(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run(
        [program("promtool"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **options,
    )


class Prometheus:
    """A running Prometheus, with the configuration of etc/ but for addresses and intervals."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        self.port = free_port()
        self.began_s = time.time()
        self._log = (folder / "prometheus.out").open("wb")
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(configuration(targets)))
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'storage'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=debug",  # or it does not tell of scrapes that it could not read
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self._log_path = folder / "prometheus.out"

    def wait_ready(self) -> "Prometheus":
        """Wait until it answers questions."""

        def is_ready() -> bool:
            assert self._process.poll() is None, f"Prometheus ended:\n{self.output()}"
            try:
                return get(self.port, "/-/ready")[0] == 200
            except OSError:
                return False

        wait_for(is_ready, "Prometheus to be ready")
        return self

    def output(self) -> str:
        """Return all that it has printed."""
        return self._log_path.read_text(errors="replace")

    def misunderstood(self) -> set[str]:
        """Give the jobs that answered a scrape with something that could not be read."""
        return set(re.findall(r'scrape_pool=(\S+).* msg="Append failed"', self.output()))

    def ask(self, path: str, **parameters: object) -> Any:
        """Ask its API, and return the data of the answer."""
        status, body = get(self.port, f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(body)
        assert (status, answer["status"]) == (200, "success"), (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give the series that an expression is now."""
        found = self.ask("query", query=expression)
        assert found["resultType"] == "vector", found
        return found["result"]  # type: ignore[no-any-return]

    def value(self, expression: str) -> float | None:
        """Give what an expression is now, or None for nothing."""
        series = self.query(expression)
        assert len(series) <= 1, f"{expression} has {len(series)} series"
        return float(series[0]["value"][1]) if series else None

    def history(self, expression: str) -> list[dict[str, Any]]:
        """Give the series that an expression has been, as a plot asks for them."""
        found = self.ask("query_range", query=expression, start=self.began_s, end=time.time(), step=0.5)
        return found["result"]  # type: ignore[no-any-return]

    def wait_value(self, expression: str, value: float) -> None:
        """Wait until an expression is this."""
        wait_for(lambda: self.value(expression) == value, f"{expression} == {value}")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(DEADLINE_S)
        self._log.close()


def configuration(targets: dict[str, str]) -> dict[str, Any]:
    """Give the configuration of etc/, with a job for each target (address and path) and short intervals."""
    config = yaml.safe_load((ETC / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = config["scrape_configs"]
    quick = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
    return {
        "global": {**config["global"], **quick},
        "rule_files": [str(ETC / name) for name in config["rule_files"]],
        "scrape_configs": [
            {
                **job,
                "job_name": name,
                "static_configs": [{"targets": [address.partition("/")[0]]}],
                "metrics_path": f"/{address.partition('/')[2]}",
            }
            for name, address in targets.items()
        ],
    }


class _TextOnly(http.server.BaseHTTPRequestHandler):
    """Passes a scrape on as one of a Prometheus that knows no OpenMetrics; on another path, nonsense."""

    admin_port: int

    def do_GET(self) -> None:
        """Ask for the older format and answer with it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=DEADLINE_S)
        try:
            connection.request("GET", "/metrics", headers={"Accept": TEXT_FORMAT})
            response = connection.getresponse()
            body = response.read()
            if self.path != "/metrics":
                body = body.replace(b"{", b"{{")
            self.send_response(response.status)
            self.send_header("Content-Type", response.headers["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # The scrape fails, and the target's health says so.
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def text_only(admin_port: int) -> Iterator[int]:
    """Serve the admin endpoint on another port, in the text format whatever is asked for."""
    handler = type("TextOnly", (_TextOnly,), {"admin_port": admin_port})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
