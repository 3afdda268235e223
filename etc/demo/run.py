"""
`make demo`: three servers and the gateway of etc/gateway.yaml before them, until Ctrl-C.

Ports, all on 127.0.0.1: 8000 and 9180 (admin page) are the gateway's, 9001 to 9003 the
servers'. What is written behind the command goes to the gateway as more options.
"""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
PENSTOCK = [sys.executable, "-m", "penstock"]
GATEWAY_PORT = 8000
BACKENDS = (("stable-1", "1", 9001), ("stable-2", "1", 9002), ("canary", "2", 9003))
START_S = 30.0

STORY = """
  http://127.0.0.1:8000/            a page that shows who answers
  http://127.0.0.1:9180/            the admin page of the gateway
  curl 127.0.0.1:8000/api/hello     one of two servers, one time in ten the canary
  curl 127.0.0.1:8000/shop/         an app in the gateway itself
  curl 127.0.0.1:9001/ill           make a server ill; /well makes it well again
  .venv/bin/penstock status         who is well; or top, live
  Ctrl-C ends all of it.
"""

Running = dict[str, "subprocess.Popen[bytes]"]


def main() -> int:
    """Run all of it until the gateway ends or somebody has had enough."""
    running: Running = {}
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        try:
            for name, version, port in BACKENDS:
                running[name] = start_backend(name, version, port, Path(folder))
            for name, _, port in BACKENDS:
                wait_answering(running[name], port)
            running["gateway"] = start("-c", "etc/gateway.yaml", *sys.argv[1:])
            wait_answering(running["gateway"], GATEWAY_PORT)
            if running["gateway"].poll() is None:
                print(STORY, flush=True)
            watch(running, Path(folder))
        except KeyboardInterrupt:
            print("ending; Ctrl-C again ends it at once", flush=True)
        finally:
            stop(running)
    return running["gateway"].returncode if "gateway" in running else 1


def start_backend(name: str, version: str, port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a server that is to be behind the gateway."""
    words = ["backend:app", "--app-dir", "etc/demo", "--port", str(port), "--workers", "1"]
    # Its control socket is out of the way, so that `penstock status` finds the gateway's.
    words += ["--admin-bind", "none", "--log-level", "warning", "--control", f"{folder}/{name}.sock"]
    with (folder / f"{name}.log").open("wb") as log:
        return start(*words, log=log, DEMO_NAME=name, DEMO_VERSION=version)


def start(*words: str, log: IO[bytes] | None = None, **environ: str) -> "subprocess.Popen[bytes]":
    """Start a Penstock that a terminal's Ctrl-C does not reach: the order of ends is ours."""
    return subprocess.Popen(
        [*PENSTOCK, *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        process_group=0,
    )


def wait_answering(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until a request is answered there, or the process has ended and said why."""
    until_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until_s:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


def watch(running: Running, folder: Path) -> None:
    """Return when the gateway has ended. A server that ends is part of the show."""
    told = set()
    while running["gateway"].poll() is None:
        for name, process in running.items():
            if process.poll() is not None and name not in told:
                told.add(name)
                words = (folder / f"{name}.log").read_text(errors="replace").strip()
                print(f"{name} has ended with {process.returncode}\n{words}", flush=True)
        time.sleep(0.2)


def stop(running: Running) -> None:
    """End all, the gateway first: nobody is to see servers that are gone. Another Ctrl-C hurries them."""

    def hurry(*_: object) -> None:
        for each in running.values():
            each.terminate()

    signal.signal(signal.SIGINT, hurry)
    signal.signal(signal.SIGTERM, hurry)
    for each in reversed(running.values()):
        each.terminate()
        each.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
