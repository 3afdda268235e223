#!/usr/bin/env python3
"""
What compression costs, and what it saves.

    python loadtest/compression.py codings    µs and bytes by coding, level and size, in this process
    python loadtest/compression.py servers    CPU µs of a response, beside other servers
    python loadtest/compression.py waiting    how long others wait while large bodies are compressed

JSON with some 5 % of chance in it, as APIs have it. Servers take turns, with one
worker on core 0 and the load on core 1; all compress by gzip of level 4.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench import commands, load
from bench.commands import Place, Work
from bench.machine import program
from bench.server import free_port, running

from penstock.worker.http.compression.codings import LEVEL_RANGES, NAMES, make_coding

LOADTEST = Path(__file__).resolve().parent
SIZES = (1024, 8192, 65536, 1024 * 1024)
SHOWN = {"gzip": (1, 4, 6, 9), "br": (1, 4, 5, 9, 11), "zstd": (1, 3, 6, 12, 19)}

WORDS = [
    "".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=2 + number % 8))
    for number in range(2000)
]


def document(size: int) -> bytes:
    """Make a document of about this size, always the same."""
    chance = random.Random(1)
    rows, made = [], 2
    while made < size:
        row = {
            "id": chance.randint(1, 10**6),
            "name": " ".join(chance.choices(WORDS, k=4)),
            "tags": chance.choices(WORDS, k=3),
            "price": round(chance.random() * 100, 2),
            "in_stock": chance.random() > 0.5,
        }
        rows.append(row)
        made += len(json.dumps(row)) + 2
    return json.dumps(rows).encode()[:size]


def cpu_us(work: Callable[[], object], budget_s: float = 0.2) -> float:
    """Measure what a call takes of the processor, at its best of five."""
    began_s = time.process_time()
    work()
    count = max(1, int(budget_s / 5 / max(time.process_time() - began_s, 1e-6)))
    best_s = float("inf")
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(count):
            work()
        best_s = min(best_s, (time.process_time() - began_s) / count)
    return best_s * 1e6


def compare_codings() -> None:
    """Print a table."""
    bodies = {size: document(size) for size in SIZES}
    print("| | " + " | ".join(f"{size // 1024} KiB" for size in SIZES) + " |")
    print("|---|" + "---|" * len(SIZES))
    for name in reversed(NAMES):
        least, most = LEVEL_RANGES[name]
        for level in SHOWN[name]:
            assert least <= level <= most
            coding = make_coding(name, level)
            cells = []
            for size, body in bodies.items():
                us = cpu_us(lambda body=body, coding=coding: coding.whole(body))  # type: ignore[misc]
                cells.append(f"{us:,.0f} µs, {len(coding.whole(body)) / size:.0%}")
            print(f"| {name} {level} | " + " | ".join(cells) + " |", flush=True)


APP = """
from pathlib import Path
BODIES = {f"/{path.name}": path.read_bytes() for path in Path(__file__).parent.glob("*.json")}
HEADERS = {path: [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
           for path, body in BODIES.items()}
BODIES["/hello"] = b"hello"
HEADERS["/hello"] = [(b"content-type", b"application/json"), (b"content-length", b"5")]

async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"] if scope["path"] in BODIES else "/hello"
    await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS[path])})
    await send({"type": "http.response.body", "body": BODIES[path]})

try:
    from starlette.middleware.gzip import GZipMiddleware
    gzipped = GZipMiddleware(app, minimum_size=1, compresslevel=4)
except ImportError:
    pass
"""
CONFIG = """
pin: false
admin: none
log: {{level: warning}}
workers: 1
compression: {setting}
listeners: [{{bind: "127.0.0.1:{port}", routes: [{{app: "main:app"}}]}}]
"""
NGINX_TYPES = "types { application/json json; text/html html; }"
NGINX_GZIP = "gzip on; gzip_comp_level 4; gzip_min_length 1; gzip_types application/json; " + NGINX_TYPES
SCRIPT = 'wrk.method = "GET"\nwrk.headers["Accept-Encoding"] = "{accepted}"\n'
SERVED_SIZES = (1024, 16 * 1024, 256 * 1024)

Words = Callable[[Place], list[str]]


def penstock(name: str | None) -> Words:
    """Run Penstock with one coding, or none."""

    def words(place: Place) -> list[str]:
        setting = "none" if name is None else f"{{algorithms: [{name}], min_size: 1B}}"
        (place.folder / "p.yaml").write_text(CONFIG.format(setting=setting, port=place.port))
        return ["penstock", "-c", str(place.folder / "p.yaml"), "--control", str(place.folder / "control")]

    return words


def uvicorn(app: str) -> Words:
    """Run uvicorn."""
    return lambda place: commands.uvicorn(Work(app=f"main:{app}"), place)


def nginx(*, is_on: bool) -> Words:
    """Run nginx on the same bodies as files."""

    def words(place: Place) -> list[str]:
        found = commands.nginx(Work(app="", file_bytes=1), place)
        assert found is not None
        config = place.folder / "nginx.conf"
        text = config.read_text().replace("try_files /file =404;", "")
        more = NGINX_GZIP if is_on else NGINX_TYPES
        config.write_text(text.replace("access_log off;", f"access_log off; {more}", 1))
        return found

    return words


SERVERS: dict[str, tuple[Words, str]] = {
    "penstock, off": (penstock(None), "gzip"),
    "penstock, gzip": (penstock("gzip"), "gzip"),
    "penstock, gzip, not asked for": (penstock("gzip"), "identity"),
    "penstock, br": (penstock("br"), "br"),
    "penstock, zstd": (penstock("zstd"), "zstd"),
    "uvicorn": (uvicorn("app"), "gzip"),
    "uvicorn, GZipMiddleware": (uvicorn("gzipped"), "gzip"),
    "nginx, a file": (nginx(is_on=False), "gzip"),
    "nginx, a file, gzip": (nginx(is_on=True), "gzip"),
}


def prepare(folder: Path) -> None:
    """Write the app and its bodies."""
    folder.chmod(0o755)
    (folder / "main.py").write_text(APP)
    (folder / "index.html").write_text("hello")
    for size in SERVED_SIZES:
        (folder / f"{size}.json").write_bytes(document(size))


def measure(words: Words, accepted: str, size: int, seconds: float) -> float | None:
    """Serve and load once; return the CPU µs of a response."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(port=free_port(), folder=Path(name))
        prepare(place.folder)
        script = place.folder / "script.lua"
        script.write_text(SCRIPT.format(accepted=accepted))
        named, *rest = words(place)
        if program(named) is None:
            return None
        with running([str(program(named)), *rest], place.port, cores=[0], cwd=place.folder) as server:
            url = f"http://127.0.0.1:{place.port}/{size}.json"
            load.closed_loop(url, script, connections=16, duration_s=1.0, core=1)
            before_s = server.cpu_s()
            result = load.closed_loop(url, script, connections=16, duration_s=seconds, core=1)
            used_s = server.cpu_s() - before_s
        if result.error_count:
            raise SystemExit(f"{' '.join([named, *rest])}: {result.errors}")
        return used_s / result.requests * 1e6


def compare_servers(rounds: int, seconds: float) -> None:
    """Print a table of medians."""
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for size in SERVED_SIZES:
            for server, (words, accepted) in SERVERS.items():
                us = measure(words, accepted, size, seconds)
                if us is not None:
                    found.setdefault((server, size), []).append(us)
                    print(f"{server}, {size}: {us:.1f} µs", file=sys.stderr, flush=True)
    print("| | " + " | ".join(f"{size // 1024} KiB" for size in SERVED_SIZES) + " |")
    print("|---|" + "---|" * len(SERVED_SIZES))
    for server in SERVERS:
        cells = [found.get((server, size)) for size in SERVED_SIZES]
        print(
            f"| {server} | "
            + " | ".join(f"{statistics.median(each):,.1f}" if each else "-" for each in cells)
            + " |"
        )


INLINE = """
from penstock.worker.http.compression import codings
codings.COMPRESSION_INLINE_US = 10**9
"""


def wait_times(seconds: float) -> None:
    """Ask for something small, over and over, while four clients ask for a mebibyte."""
    for way in ("nothing else", "in threads", "inline"):
        for name in NAMES if way != "nothing else" else ("gzip",):
            times_s = measure_waiting(way, name, seconds)
            shown = [
                f"{each * 1e3:.2f}"
                for each in (times_s[len(times_s) // 2], times_s[int(len(times_s) * 0.99)], times_s[-1])
            ]
            print(
                f"{way:14} {name:5} median {shown[0]} ms, p99 {shown[1]} ms, most {shown[2]} ms", flush=True
            )


def measure_waiting(way: str, name: str, seconds: float) -> list[float]:
    """Measure once, sorted."""
    with tempfile.TemporaryDirectory() as folder_name:
        place = Place(port=free_port(), folder=Path(folder_name))
        prepare(place.folder)
        (place.folder / "large.json").write_bytes(document(1024 * 1024))
        if way == "inline":
            (place.folder / "main.py").write_text(INLINE + APP)
        named, *rest = penstock(name)(place)
        with running([str(program(named)), *rest], place.port, cores=[0], cwd=place.folder):
            base = f"http://127.0.0.1:{place.port}"
            large = ["curl", "-s", "-H", f"Accept-Encoding: {name}", f"{base}/large.json"]
            is_over = threading.Event()
            threads = [
                threading.Thread(target=_ask, args=(large, is_over))
                for _ in range(4 if way != "nothing else" else 0)
            ]
            for thread in threads:
                thread.start()
            try:
                return _probe(place.port, seconds)
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()


def _ask(command: list[str], is_over: threading.Event) -> None:
    while not is_over.is_set():
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)


def _probe(port: int, seconds: float) -> list[float]:
    import http.client  # noqa: PLC0415

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times_s = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        connection.request("GET", "/hello")
        connection.getresponse().read()
        times_s.append(time.perf_counter() - began_s)
        time.sleep(0.002)
    connection.close()
    return sorted(times_s)


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("codings", "servers", "waiting"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    if options.what == "codings":
        compare_codings()
    elif options.what == "servers":
        compare_servers(options.rounds, options.seconds)
    else:
        wait_times(options.seconds)


if __name__ == "__main__":
    main()
