"""The app's own metrics: counted in any worker, told by all, and never less than before."""

import json
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.process.harness import Server, get, run_penstock, wait_for, write_app

Start = Callable[..., Server]

SHOP = """
import os
from fastapi import FastAPI, Response
from prometheus_client import (
    CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest, make_asgi_app,
)

cups = Counter("cups", "Cups of tea.", ["kind"])
busy = Gauge("busy", "Requests.", multiprocess_mode="livesum")
largest = Gauge("largest", "The largest order.", multiprocess_mode="max")
pid = Gauge("own_pid", "Of each worker.")
steeping = Histogram("steeping", "Time.", buckets=(1, 2))
price = Summary("price", "Prices.")
Info("shop", "The shop.").info({"version": "VERSION"})
state = Enum("door", "The door.", states=["open", "closed"])

own = CollectorRegistry()
orders = Counter("orders", "Orders.", registry=own)
pid.set(os.getpid())

app = FastAPI()
app.mount("/own", make_asgi_app(own))


@app.get("/drink/{kind}")
def drink(kind: str):
    with busy.track_inprogress():
        cups.labels(kind).inc(exemplar={"kind": kind})
        steeping.observe(1.5)
        price.observe(2)
        orders.inc()
        return {"pid": os.getpid()}


@app.get("/largest/{number}")
def set_largest(number: int):
    largest.set(number)


@app.get("/close")
def close():
    state.state("closed")


@app.get("/forget/{kind}")
def forget(kind: str):
    cups.remove(kind)


@app.get("/metrics")
def metrics():
    return Response(generate_latest(), media_type="text/plain")
"""


def samples(text: str) -> dict[str, float]:
    """Read an exposition; a line is known by its name and labels."""
    return {
        " ".join(
            [sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def admin_samples(server: Server) -> dict[str, float]:
    return samples(server.admin("/metrics")[1].decode())


def own_samples(server: Server, path: str = "/metrics") -> dict[str, float]:
    """Ask the app itself, of which any worker may answer."""
    return samples(server.get(path)[1].decode())


@pytest.fixture
def shop(start: Start, tmp_path: Path) -> Server:
    """Serve the shop on two workers."""
    write_app(tmp_path, SHOP.replace("VERSION", "1"))
    return start("main:app", "--port", "0", "--workers", "2").wait_serving()


def drink_on_both(server: Server, kind: str) -> int:
    """Order until both workers have served, and say how many orders it took."""
    seen: set[int] = set()
    count = 0

    def both() -> bool:
        nonlocal count
        status, body = server.get(f"/drink/{kind}")
        assert status == 200
        seen.add(json.loads(body)["pid"])
        count += 1
        return len(seen) == 2

    wait_for(both, "answers of both workers")
    return count


def test_every_kind_of_metric_is_one_over_the_workers(shop: Server) -> None:
    """
    On the admin endpoint, and on the app's own from whichever worker answers.
    """
    count = drink_on_both(shop, "assam")
    shop.get("/drink/only-one")
    shop.get("/largest/7")
    shop.get("/largest/5")
    shop.get("/close")

    expected = {
        "cups_total kind=assam": count,
        "cups_total kind=only-one": 1,
        "busy": 0,
        "steeping_bucket le=1.0": 0,
        "steeping_bucket le=2.0": count + 1,
        "steeping_bucket le=+Inf": count + 1,
        "steeping_count": count + 1,
        "steeping_sum": 1.5 * (count + 1),
        "price_count": count + 1,
        "price_sum": 2 * (count + 1),
        "shop_info version=1": 1,
        "door door=closed": 1,
        "door door=open": 0,
    }
    pids = {f"own_pid worker={worker['slot']}": worker["pid"] for worker in shop.status()["workers"]}
    for read in (admin_samples, own_samples):
        for _ in range(4):
            seen = read(shop)
            assert {name: seen.get(name) for name in (*expected, *pids)} == expected | pids
            assert seen["largest"] in (5, 7)  # Of two workers, or of one that was asked twice.
    assert own_samples(shop, "/own/")["orders_total"] == count + 1
    assert "cups_total kind=assam" not in own_samples(shop, "/own/")
    assert admin_samples(shop)["orders_total"] == count + 1
    assert "python_info" not in shop.get("/metrics")[1].decode()


def test_openmetrics_has_the_exemplars(shop: Server) -> None:
    """
    Of the app's metrics, among the built-in ones.
    """
    drink_on_both(shop, "assam")
    text = get(shop.admin_port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")[1].decode()
    assert '# {kind="assam"} 1.0' in text
    assert text.endswith("# EOF\n")


def test_a_removed_label_set_vanishes_from_both_views(shop: Server) -> None:
    """
    Whichever worker removed it, and whoever had counted.
    """
    count = drink_on_both(shop, "assam")
    drink_on_both(shop, "ceylon")
    shop.get("/forget/assam")
    for _ in range(4):
        assert "cups_total kind=assam" not in own_samples(shop)
        assert "cups_total kind=ceylon" in own_samples(shop)
        assert "cups_total kind=assam" not in admin_samples(shop)
    shop.get("/drink/assam")
    assert admin_samples(shop)["cups_total kind=assam"] == count + 1


def is_replaced(victim: int, status: dict[str, Any]) -> bool:
    """Say whether two workers serve, and this is none of them."""
    workers = status["workers"]
    return len(workers) == 2 and all(each["state"] == "ready" and each["pid"] != victim for each in workers)


class Drinkers:
    """Clients that order one after the other, and count what was answered."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self.answered = 0
        self.failed = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30) as client:
            while not self._over.is_set():
                try:
                    is_answered = client.get("/drink/assam").status_code == 200
                except httpx.HTTPError:
                    is_answered = False
                with self._lock:
                    self.answered += is_answered
                    self.failed += not is_answered

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def test_totals_are_what_clients_counted_through_every_restart(shop: Server) -> None:
    """
    A roll, a kill, a hot restart: nothing is lost, nothing is there twice, and no total ever falls.
    """
    falls: list[tuple[float, float]] = []
    seen = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            total = admin_samples(shop).get("cups_total kind=assam", 0.0)
            if total < seen[-1]:
                falls.append((seen[-1], total))
            seen.append(total)

    drinkers = Drinkers(shop)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        wait_for(lambda: drinkers.answered > 50, "some orders")
        shop.signal(signal.SIGHUP)
        shop.wait_generation(2, workers=2)
        for slot in (0, 1):
            victim = next(each for each in shop.status()["workers"] if each["slot"] == slot)["pid"]
            os.kill(victim, signal.SIGKILL)
            shop.wait_status(partial(is_replaced, victim), "a replacement")
        before = drinkers.answered
        wait_for(lambda: drinkers.answered > before + 50, "orders after the kill")
        shop.signal(signal.SIGUSR2)
        shop.wait_generation(3, workers=2)
        before = drinkers.answered
        wait_for(lambda: drinkers.answered > before + 50, "orders after the hot restart")
    finally:
        drinkers.stop()
        over.set()
        watcher.join(60)
    total = admin_samples(shop)["cups_total kind=assam"]
    assert drinkers.answered <= total <= drinkers.answered + drinkers.failed
    assert drinkers.failed <= 2 * 4, "only those that a killed worker had"
    assert not falls
    assert own_samples(shop)["cups_total kind=assam"] == total
    # A worker may be killed between the one and the other.
    assert drinkers.answered <= own_samples(shop)["steeping_count"] <= drinkers.answered + drinkers.failed
    pids = {f"own_pid worker={each['slot']}": each["pid"] for each in shop.status()["workers"]}
    assert {name: value for name, value in own_samples(shop).items() if name.startswith("own_pid")} == pids


def test_a_full_table_costs_nobody_an_answer(start: Start, tmp_path: Path) -> None:
    """
    What has no room is counted under `_overflow`, said once a worker, and counted itself.
    """
    write_app(tmp_path, SHOP)
    config = {
        "workers": 1,
        "metrics": {"app_values_max": 1024},
        "listeners": [{"bind": "127.0.0.1:0", "routes": [{"app": "main:app"}]}],
    }
    (tmp_path / "penstock.yaml").write_text(json.dumps(config))
    server = start("-c", "penstock.yaml").wait_serving()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        for number in range(1200):
            assert client.get(f"/drink/{number}").status_code == 200
    seen = admin_samples(server)
    cups = {name: value for name, value in seen.items() if name.startswith("cups_total")}
    assert sum(cups.values()) == 1200
    assert cups["cups_total kind=_overflow"] == seen["penstock_app_series_dropped_total"] > 0
    assert server.output().count("the table of the app's metrics is full") == 1


def test_more_room_comes_with_a_hot_restart_that_keeps_the_totals(start: Start, tmp_path: Path) -> None:
    """
    Old and new workers lay their rows out differently, and are one total all the while.
    """

    def configure(values: int) -> None:
        config = {
            "workers": 2,
            "metrics": {"app_values_max": values},
            "listeners": [{"bind": "127.0.0.1:0", "routes": [{"app": "main:app"}]}],
        }
        (tmp_path / "penstock.yaml").write_text(json.dumps(config))

    write_app(tmp_path, SHOP)
    configure(1024)
    server = start("-c", "penstock.yaml").wait_serving()
    count = drink_on_both(server, "assam")
    server.get("/close")
    for generation, values in ((2, 8192), (3, 1024)):
        configure(values)
        server.signal(signal.SIGUSR2)
        server.wait_generation(generation, workers=2)
        count += drink_on_both(server, "assam")
        for seen in (admin_samples(server), own_samples(server)):
            assert seen["cups_total kind=assam"] == seen["steeping_count"] == count
            assert seen["door door=closed"] == 1


def test_a_preloaded_app_counts_in_every_worker(start: Start, tmp_path: Path) -> None:
    """
    What the import has counted each worker has, as if it had imported the app itself.
    """
    write_app(tmp_path, SHOP + "\ncups.labels('imported').inc(3)\nlargest.set(4)\n")
    server = start("main:app", "--preload", "--port", "0", "--workers", "2").wait_serving()
    count = drink_on_both(server, "assam")
    for seen in (admin_samples(server), own_samples(server)):
        assert seen["cups_total kind=assam"] == count
        assert seen["cups_total kind=imported"] == 6
        assert seen["largest"] == 4
        assert seen["shop_info version=VERSION"] == 1
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=2)
    assert admin_samples(server)["cups_total kind=assam"] == count
    assert admin_samples(server)["cups_total kind=imported"] == 12


OLD = """
import os
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

hits = Counter("hits", "Hits.")
Gauge("pots", "Pots.", multiprocess_mode="livesum").set(1)
Counter("penstock_requests", "An app should not.").inc()
Counter("fish.caught", "UTF-8.").inc()


async def app(scope, receive, send):
    assert scope["type"] == "http"
    hits.inc()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": generate_latest(registry)})
"""


def test_an_old_deployment_works_and_is_told_what_it_can_do_without(start: Start, tmp_path: Path) -> None:
    """
    The variable of the other multi-process mode, its collector, and names that are not the app's to give.
    """
    write_app(tmp_path, OLD)
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "no-such-directory")}
    checked = run_penstock("check", "main:app", cwd=tmp_path, env=environment)
    assert checked.returncode == 0, checked.stderr
    server = start("main:app", "--port", "0", "--workers", "2", env=environment).wait_serving()
    for number in range(1, 9):
        assert samples(server.get("/")[1].decode())["hits_total"] == number
    assert server.output().count("PROMETHEUS_MULTIPROC_DIR is set and has no effect") == 1
    seen = admin_samples(server)
    assert seen["hits_total"] == 8
    assert seen["penstock_app_families_left_out"] == 1
    assert "penstock_requests_total" not in seen
    assert seen["pots"] == 2
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=2)
    assert admin_samples(server)["hits_total"] == 8
