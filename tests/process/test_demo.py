"""`make demo`: what etc/gateway.yaml and etc/demo promise, with real servers, and asked as people do."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

from tests.process.browser import DESK, NARROW, open_browser
from tests.process.harness import DEADLINE_S, free_port, get, run_penstock, wait_for

ROOT = Path(__file__).parents[2]
# As they stand in the files; the tests take others, because these may be taken.
PORTS = (8000, 9001, 9002, 9003, 9180)


@dataclass
class Demo:
    """All of `make demo`, in a folder of its own."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    ports: dict[int, int]

    def output(self) -> str:
        return (self.folder / "demo.out").read_text(errors="replace")

    def ask(self, path: str, port: int = 8000, *, cookie: str = "") -> tuple[int, bytes]:
        return get(self.ports[port], path, **({"Cookie": cookie} if cookie else {}))

    def who(self, cookie: str = "") -> str:
        """Ask the API, and say who answered."""
        status, body = self.ask("/api/hello", cookie=cookie)
        assert status == 200, body
        server: str = json.loads(body)["server"]
        return server

    def servers(self) -> dict[int, Any]:
        """What `penstock status` has of the servers, by the ports in the files."""
        done = run_penstock("status", "--json", "--control", "control.sock", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        upstreams = json.loads(done.stdout)["upstreams"]
        own = {f"127.0.0.1:{port}": written for written, port in self.ports.items()}
        return {own[server["address"]]: server for each in upstreams for server in each["servers"]}

    def is_healthy(self, port: int) -> bool | None:
        """Whether the gateway takes a server for well."""
        return self.servers()[port]["healthy"]  # type: ignore[no-any-return]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    ports = {port: free_port() for port in PORTS}
    shutil.copytree(ROOT / "etc", tmp_path / "etc")
    for name in ("gateway.yaml", "demo/run.py", "demo/public/index.html"):
        path = tmp_path / "etc" / name
        path.write_text(
            re.sub(r"\b(8000|900[123]|9180)\b", lambda m: str(ports[int(m[0])]), path.read_text())
        )
    words = ["--control", str(tmp_path / "control.sock"), "--admin-bind", f"127.0.0.1:{ports[9180]}"]
    with (tmp_path / "demo.out").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "etc/demo/run.py", *words], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
        )
    started = Demo(tmp_path, process, ports)
    try:

        def is_told() -> bool:
            assert process.poll() is None, started.output()
            return "Ctrl-C ends all of it" in started.output()

        wait_for(is_told, "the story")
        yield started
    finally:
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            for each in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def test_demo_does_what_it_says(demo: Demo) -> None:
    """
    Page, app, canary, WebSocket; and a server that gets ill leaves without a failed request, and comes back.
    """
    assert b"A gateway before three servers" in demo.ask("/")[1]
    assert json.loads(demo.ask("/shop/")[1])["app"] == "shop"
    with connect(f"ws://127.0.0.1:{demo.ports[8000]}/live/", open_timeout=DEADLINE_S) as talk:
        assert re.fullmatch(r"stable-[12]: 1", str(talk.recv(DEADLINE_S)))

    # 300 requests of which each tenth is the canary's: fewer than 5 or more than 80 never happens.
    seen = Counter(demo.who() for _ in range(300))
    assert set(seen) == {"stable-1", "stable-2", "canary"}
    assert 5 <= seen["canary"] <= 80
    assert len({demo.who("user=7") in {"stable-1", "stable-2"} for _ in range(20)}) == 1

    wait_for(lambda: all(demo.is_healthy(port) for port in (9001, 9002, 9003)), "three well servers")
    assert demo.ask("/ill", 9001)[0] == 200

    def has_left() -> bool:
        demo.who()  # Fails the test if the illness shows.
        return demo.is_healthy(9001) is False

    wait_for(has_left, "the ill server to be noticed")
    wait_for(lambda: "stable-1" not in {demo.who() for _ in range(50)}, "it to get nothing")

    assert demo.ask("/well", 9001)[0] == 200
    wait_for(lambda: demo.who() == "stable-1", "it to get requests again")
    assert demo.is_healthy(9001)

    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(DEADLINE_S) == 0
    assert not re.search("ERROR|Traceback", demo.output()), demo.output()


def test_page_of_the_demo_shows_who_answers(demo: Demo) -> None:
    """
    In a browser, wide and narrow, without a complaint.
    """
    with open_browser() as browser:
        for width, scheme in ((DESK, "light"), (NARROW, "dark")):
            tab = browser.open_tab(f"http://127.0.0.1:{demo.ports[8000]}/", width=width, scheme=scheme)
            tab.wait("document.querySelectorAll('#servers tr').length === 3")
            tab.wait("/^stable-[12]: [0-9]+$/.test(document.getElementById('socket').value)")
            assert tab.text("#failed") == "no request failed"
            assert tab.value("document.documentElement.scrollWidth <= innerWidth")
            assert tab.complaints == []


def test_the_gateway_file_is_explained(tmp_path: Path) -> None:
    """
    By the command at its beginning; nothing has to run for that.
    """
    shutil.copytree(ROOT / "etc", tmp_path / "etc")
    words = ("--explain", "GET http://127.0.0.1:8000/api/hello")
    done = run_penstock("check", "-c", "etc/gateway.yaml", *words, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^3 +api +takes it", done.stdout, re.MULTILINE)
    assert "stable 90%, canary 10%" in done.stdout
