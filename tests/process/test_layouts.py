"""
Hot restarts to another division of the shared memory: every count is carried over, however often.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import Server, wait_for, write_app
from tests.process.mixture import COUNTING_APP, Mixture

Start = Callable[..., Server]

CONFIG = """
workers: 2
metrics: {{app_values_max: {values}}}
listeners:
  - bind: 127.0.0.1:0
    routes:
      - app: main:app
"""


class Scraper:
    """Somebody who asks for the total all the time, and never sees it fall."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.scrapes = 0
        self.faults: list[str] = []

    def __enter__(self) -> "Scraper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        highest = 0.0
        while not self._is_over.is_set():
            try:
                now = self._server.metric("penstock_requests_total")
            except Exception as error:
                self.faults.append(repr(error))
                return
            if now < highest:
                self.faults.append(f"{now} after {highest}")
            highest = max(highest, now)
            self.scrapes += 1


def write_config(folder: Path, values: int) -> None:
    """Ask for room for so many of the app's values."""
    (folder / "penstock.yaml").write_text(CONFIG.format(values=values))


def restart_divided_anew(start: Start, folder: Path, restarts: int) -> None:
    """Give the memory another division with each of so many hot restarts, under clients and scrapes."""
    write_app(folder, COUNTING_APP)
    write_config(folder, 1_000)
    server = start("-c", "penstock.yaml").wait_serving()
    with Mixture(server.port) as clients, Scraper(server) as scraper:
        for number in range(restarts):
            # Every third time the division stays, and so does the segment.
            write_config(folder, 1_000 if number % 3 == 1 else 2_000)
            server.signal(signal.SIGUSR2)
            server.wait_generation(number + 2, workers=2)
            assert not clients.lost, f"{clients.lost}\n{server.output()}"
            assert not scraper.faults, f"{scraper.faults}\n{server.output()}"
        # The last of the old workers is gone, and with it the memory before this one.
        wait_for(lambda: server.status()["shared_memory"]["segments_before"] == 0, "one segment")
    assert not clients.lost, f"{clients.lost}\n{server.output()}"
    assert not scraper.faults, f"{scraper.faults}\n{server.output()}"
    assert scraper.scrapes >= restarts
    assert server.metric("penstock_requests_total") == clients.total
    assert server.metric("penstock_segment_resets_total") == 0
    assert "divided anew" in server.output()


def test_counts_survive_hot_restarts_to_other_layouts(start: Start, tmp_path: Path) -> None:
    """
    Old workers count on in the old memory while the new ones count in the new.
    """
    restart_divided_anew(start, tmp_path, 4)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_counts_survive_many_hot_restarts_to_other_layouts(start: Start, tmp_path: Path) -> None:
    """
    The same, twenty times.
    """
    restart_divided_anew(start, tmp_path, 20)


def test_memory_that_cannot_be_read_is_given_up_and_counted(start: Start, tmp_path: Path) -> None:
    """
    The server goes on, its workers are replaced, and one number says that the others began anew.
    """
    write_app(tmp_path, COUNTING_APP)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    assert server.get()[0] == 200
    fds = Path(f"/proc/{server.pid}/fd")
    memory = next(fd for fd in fds.iterdir() if str(fd.readlink()).startswith("/memfd:penstock "))
    with memory.open("r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(8, "little"))

    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=2)

    assert server.get()[0] == 200
    assert server.metric("penstock_segment_resets_total") == 1
    wait_for(lambda: server.metric("penstock_requests_total") == 1, "the request after it, counted")
    assert "layout version is 99" in server.output()
