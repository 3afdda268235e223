"""What an app does with prometheus_client, over the areas of two workers."""

import sys
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    generate_latest,
    metrics,
    multiprocess,
    values,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from penstock.shm.values import ValueArea
from penstock.worker.appmetrics import cells, hook, multiproc
from penstock.worker.appmetrics.hook import install, notices, prepare
from penstock.worker.appmetrics.keeper import Keeper

if TYPE_CHECKING:
    from tests.worker.appmetrics.conftest import Fleet


parse: Any = text_string_to_metric_families
open_text: Any = generate_openmetrics


def lines(registry: Any) -> list[str]:
    """Give what is exposed, without comments."""
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_counters_of_two_workers_are_one(fleet: "Fleet") -> None:
    """
    Label sets that only the other worker knows are there as well.
    """
    first = Counter("tea", "Cups.", ["kind"], registry=fleet.become(0))
    first.labels("assam").inc()
    first.labels("ceylon").inc(2.5)
    registry = fleet.become(1)
    second = Counter("tea", "Cups.", ["kind"], registry=registry)
    second.labels("assam").inc(10)

    assert lines(registry) == ['tea_total{kind="assam"} 11.0', 'tea_total{kind="ceylon"} 2.5']
    assert second.labels("assam")._value.get() == 11
    assert fleet.said == []


def test_a_metric_that_nobody_has_used_here_is_shown(fleet: "Fleet") -> None:
    """
    A worker that has just started shows what the others have, and a fresh metric its zero.
    """
    Counter("tea", "Cups.", ["kind"], registry=fleet.become(0)).labels("assam").inc()
    registry = fleet.become(1)
    Counter("tea", "Cups.", ["kind"], registry=registry)
    Gauge("pots", "Pots.", registry=registry, multiprocess_mode="livesum")
    assert lines(registry) == ['tea_total{kind="assam"} 1.0', "pots 0.0"]


def test_histograms_and_summaries_are_added_up(fleet: "Fleet") -> None:
    """
    Buckets are cumulative, counts agree with them, and no `_created` is of any use over workers.
    """
    for slot in (0, 1):
        registry = fleet.become(slot)
        histogram = Histogram("steeping", "Time.", registry=registry, buckets=(1, 2))
        for duration in (0.5, 1.5, 5):
            histogram.observe(duration + slot / 10)
        Summary("cups", "Cups.", registry=registry).observe(3)
    assert lines(registry) == [
        'steeping_bucket{le="1.0"} 2.0',
        'steeping_bucket{le="2.0"} 4.0',
        'steeping_bucket{le="+Inf"} 6.0',
        "steeping_count 6.0",
        "steeping_sum 14.3",
        "cups_count 2.0",
        "cups_sum 6.0",
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("all", ['pots{worker="0"} 1.0', 'pots{worker="1"} 5.0']),
        ("liveall", ['pots{worker="0"} 1.0', 'pots{worker="1"} 5.0']),
        ("sum", ["pots 6.0"]),
        ("livesum", ["pots 6.0"]),
        ("min", ["pots 1.0"]),
        ("livemin", ["pots 1.0"]),
        ("max", ["pots 5.0"]),
        ("livemax", ["pots 5.0"]),
        ("mostrecent", ["pots 5.0"]),
        ("livemostrecent", ["pots 5.0"]),
    ],
)
def test_gauges_have_their_modes(fleet: "Fleet", mode: Any, expected: list[str]) -> None:
    """
    All of them, as in the multi-process mode that apps were written for.
    """
    for slot, number in ((0, 1), (1, 5)):
        registry = fleet.become(slot)
        gauge = Gauge("pots", "Pots.", registry=registry, multiprocess_mode=mode)
        gauge.set(number)
    assert lines(registry) == expected
    assert gauge._value.get() == float(expected[0 if len(expected) == 1 else 1].split()[-1])


def test_every_way_to_change_a_gauge_works(fleet: "Fleet") -> None:
    """
    They all come down to `inc` and `set`.
    """
    registry = fleet.become(0)
    gauge = Gauge("pots", "Pots.", registry=registry, multiprocess_mode="sum")
    gauge.set(5)
    gauge.inc()
    gauge.dec(2)
    with gauge.track_inprogress():
        assert lines(registry) == ["pots 5.0"]
    assert lines(registry) == ["pots 4.0"]
    gauge.set_to_current_time()
    assert float(lines(registry)[0].split()[1]) > 1.7e9


def test_what_is_set_by_a_function_is_local(fleet: "Fleet") -> None:
    """
    The function runs in the worker that answers, and there is only its value.
    """
    registry = fleet.become(0)
    Gauge("pots", "Pots.", registry=registry).set_function(lambda: 7)
    labelled = Gauge("cups", "Cups.", ["kind"], registry=registry, multiprocess_mode="max")
    labelled.labels("tea").set_function(lambda: 8)
    labelled.labels("mocha").set(2)
    assert lines(registry) == ["pots 7.0", 'cups{kind="mocha"} 2.0', 'cups{kind="tea"} 8.0']


def test_infos_and_states_are_everybodys(fleet: "Fleet") -> None:
    """
    The one set last, by whichever worker.
    """
    for slot in (0, 1):
        registry = fleet.become(slot)
        Info("build", "Build.", registry=registry).info({"version": f"1.{slot}"})
        state = Enum("shop", "Shop.", states=["open", "closed"], registry=registry)
        if not slot:
            state.state("closed")
    assert lines(registry) == [
        'build_info{version="1.1"} 1.0',
        'shop{shop="open"} 0.0',
        'shop{shop="closed"} 1.0',
    ]


def test_exemplars_are_shown_whoever_observed_them(fleet: "Fleet") -> None:
    """
    The last one of each line, in OpenMetrics.
    """
    registry = fleet.become(0)
    Counter("tea", "Cups.", registry=registry).inc(exemplar={"trace_id": "abc"})
    Histogram("steeping", "Time.", registry=registry).observe(0.3, {"trace_id": "def"})
    registry = fleet.become(1)
    Counter("tea", "Cups.", registry=registry).inc()
    Histogram("steeping", "Time.", registry=registry)
    found = {
        sample.name: sample.exemplar.labels["trace_id"]
        for family in parse(open_text(registry).decode())
        for sample in family.samples
        if sample.exemplar
    }
    assert found == {"tea_total": "abc", "steeping_bucket": "def"}


def test_a_removed_label_set_is_gone_for_all(fleet: "Fleet") -> None:
    """
    Whoever had counted it. It comes back with its count when somebody uses it again.
    """
    first = Counter("tea", "Cups.", ["kind"], registry=fleet.become(0))
    first.labels("assam").inc(3)
    registry = fleet.become(1)
    second = Counter("tea", "Cups.", ["kind"], registry=registry)
    second.labels("ceylon").inc()
    second.remove("assam")

    assert lines(registry) == ['tea_total{kind="ceylon"} 1.0']

    second.labels("assam").inc()

    assert sorted(lines(registry)) == ['tea_total{kind="assam"} 4.0', 'tea_total{kind="ceylon"} 1.0']


def test_clear_and_partial_removal(fleet: "Fleet", monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A gauge that is cleared and set again shows what was set, however often; without a warning of any kind.
    """
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    registry = fleet.become(0)
    gauge = Gauge("pots", "Pots.", ["kind", "shop"], registry=registry, multiprocess_mode="sum")
    table = fleet.areas[0].keys
    for turn in range(50):
        gauge.clear()
        assert lines(registry) == []
        for kind in ("assam", "ceylon"):
            gauge.labels(kind, "here").set(turn)
        if turn == 1:
            used = table[0]
    assert lines(registry) == [f'pots{{kind="{kind}",shop="here"}} 49.0' for kind in ("assam", "ceylon")]
    assert table[0] == used, "clearing again and again takes no more room"
    if hasattr(gauge, "remove_by_labels"):
        gauge.remove_by_labels({"kind": "assam"})
        assert lines(registry) == ['pots{kind="ceylon",shop="here"} 49.0']


def test_a_gauge_that_was_removed_begins_anew(fleet: "Fleet") -> None:
    """
    At zero, as a new one does.
    """
    registry = fleet.become(0)
    gauge = Gauge("pots", "Pots.", ["kind"], registry=registry, multiprocess_mode="sum")
    gauge.labels("assam").set(5)
    gauge.remove("assam")
    gauge.labels("assam")
    assert lines(registry) == ['pots{kind="assam"} 0.0']


def test_a_counter_cannot_be_set_back(fleet: "Fleet") -> None:
    """
    It is the total of all workers, and one of them has no say over the others. It is said once.
    """
    registry = fleet.become(0)
    counter = Counter("tea", "Cups.", registry=registry)
    counter.inc(3)
    counter.reset()
    counter.reset()
    assert lines(registry) == ["tea_total 3.0"]
    assert [text for text in fleet.said if "'tea'" in text and "reset" in text] == fleet.said
    assert len(fleet.said) == 1


def test_registries_of_the_app_share_a_name(fleet: "Fleet") -> None:
    """
    Each shows what it has registered, and one name is one metric.
    """
    registry = fleet.become(0)
    other = CollectorRegistry()
    Counter("tea", "Cups.", registry=registry).inc()
    Counter("tea", "Cups.", registry=other).inc(2)
    Counter("cups", "Cups.", registry=other).inc(5)
    assert lines(registry) == ["tea_total 3.0"]
    assert lines(other) == ["tea_total 3.0", "cups_total 5.0"]


def test_a_name_that_means_two_things_is_the_first_ones(fleet: "Fleet") -> None:
    """
    The second is what it would be without Penstock, and it is said and counted.
    """
    registry = fleet.become(0)
    other = CollectorRegistry()
    Counter("tea", "Cups.", registry=registry).inc()
    Gauge("tea", "Cups.", registry=other).set(9)
    assert lines(registry) == ["tea_total 1.0"]
    assert lines(other) == ["tea 9.0"]
    assert len(fleet.said) == 1
    assert "'tea' is a gauge of mode all" in fleet.said[0]


def test_strings_of_any_kind_are_labels(fleet: "Fleet") -> None:
    """
    What cannot be encoded is replaced, so that no scrape fails for it.
    """
    registry = fleet.become(0)
    counter = Counter("tea", "Cups.", ["kind"], registry=registry)
    for kind in ("", "grün", "a\nb", '"', "\udc80", "\0", "x" * 10_000):
        counter.labels(kind).inc()
    text = generate_latest(registry).decode()
    assert 'kind="grün"' in text
    assert 'kind="_overflow"' in text


def test_a_full_table_never_raises_and_loses_no_count(tiny_fleet: "Fleet") -> None:
    """
    What has no place of its own is counted under `_overflow`.
    """
    registry = tiny_fleet.become(0)
    counter = Counter("tea", "Cups.", ["kind"], registry=registry)
    for number in range(100):
        counter.labels(str(number)).inc()
    histogram = Histogram("steeping", "Time.", ["kind"], registry=registry, buckets=(1, 2))
    for number in range(50):
        histogram.labels(str(number)).observe(1)
        Gauge(f"gauge_{number}", "-", registry=registry).set(1)
    families = {family.name: family for family in registry.collect()}
    assert sum(sample.value for sample in families["tea"].samples) == 100
    assert [each for each in families["tea"].samples if each.labels == {"kind": "_overflow"}]
    assert len([text for text in tiny_fleet.said if "full" in text]) == 1
    generate_latest(registry)


class Odd:
    """A number whose addition is Python, and takes its time."""

    def __lt__(self, other: object) -> bool:
        return False

    def __float__(self) -> float:
        return 1.0

    def __radd__(self, other: float) -> float:
        raise AssertionError("between load and store")


@pytest.mark.parametrize("amount", [1, 1.0, True, Fraction(1), Odd()])
def test_threads_lose_no_increment(fleet: "Fleet", amount: Any) -> None:
    """
    There is no lock, and no point at which CPython would go to another thread.
    """
    registry = fleet.become(0)
    counter = Counter("tea", "Cups.", registry=registry)
    gauge = Gauge("pots", "Pots.", registry=registry, multiprocess_mode="sum")
    histogram = Histogram("steeping", "Time.", registry=registry)
    count, threads = 4000, 8

    def work() -> None:
        for _ in range(count):
            counter.inc(amount)
            gauge.inc(amount)
            histogram.observe(0.3)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        started = [threading.Thread(target=work) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    shown = dict(line.split() for line in lines(registry) if "{" not in line)
    assert (
        float(shown["tea_total"]) == float(shown["pots"]) == float(shown["steeping_count"]) == count * threads
    )


def test_values_that_lock_count_the_same(fleet: "Fleet", monkeypatch: pytest.MonkeyPatch) -> None:
    """
    They are for an interpreter without the global lock.
    """
    locked = {name: cells._locked(kind) for name, kind in cells.VALUES.items()}
    for name, kind in locked.items():
        monkeypatch.setitem(cells.VALUES, name, kind)
    registry = fleet.become(0)
    counter = Counter("tea", "Cups.", registry=registry)
    counter.inc()
    counter.inc(2)
    Gauge("pots", "Pots.", registry=registry, multiprocess_mode="sum").set(3)
    assert lines(registry) == ["tea_total 3.0", "pots 3.0"]


def test_collectors_of_the_other_multi_process_mode_read_the_same(fleet: "Fleet") -> None:
    """
    An app that was made for it needs no change; there is no directory.
    """
    fleet.become(0)
    Counter("tea", "Cups.", registry=None).inc()
    Info("build", "Build.", registry=None).info({"v": "1"})
    registry = fleet.become(1)
    Counter("tea", "Cups.", registry=None).inc()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    assert lines(registry) == ['build_info{v="1"} 1.0', "tea_total 2.0"]
    multiprocess.mark_process_dead(1)  # type: ignore[no-untyped-call]
    assert "PROMETHEUS_MULTIPROC_DIR" in str(multiproc.warning({"PROMETHEUS_MULTIPROC_DIR": "x"}))
    assert multiproc.warning({}) is None


def test_the_default_collectors_say_nothing_and_can_be_taken_out(fleet: "Fleet") -> None:
    """
    They would tell of whichever worker answers. Many apps unregister them by name.
    """
    fleet.become(0)
    assert "process_cpu" not in generate_latest(REGISTRY).decode()
    assert "python_" not in generate_latest(REGISTRY).decode()
    REGISTRY.unregister(prometheus_client.PROCESS_COLLECTOR)
    REGISTRY.register(prometheus_client.PROCESS_COLLECTOR)
    fleet.leave()
    assert "python_info" in generate_latest(REGISTRY).decode()


def test_what_the_app_made_at_import_is_kept_for_the_row() -> None:
    """
    With preload the master imports the app, and its workers have what it has counted.
    """
    assert prepare() is None
    registry = CollectorRegistry()
    counter = Counter("tea", "Cups.", ["kind"], registry=registry)
    counter.labels("assam").inc(2, exemplar={"trace": "a"})
    gauge = Gauge("pots", "Pots.", registry=registry, multiprocess_mode="max")
    gauge.set(4)
    Enum("shop", "Shop.", states=["open", "closed"], registry=registry).state("closed")
    assert 'tea_total{kind="assam"} 2.0' in lines(registry)
    area = ValueArea.scratch()
    hooked = install(area)
    assert hooked is not None
    try:
        counter.labels("assam").inc()
        assert lines(registry) == [
            'tea_total{kind="assam"} 3.0',
            "pots 4.0",
            'shop{shop="open"} 0.0',
            'shop{shop="closed"} 1.0',
        ]
        assert '# {trace="a"}' in open_text(registry).decode()
        gauge.set(5)
        assert "pots 5.0" in lines(registry)
    finally:
        hooked.uninstall()


class Custom(Collector):
    """A collector of the app's own."""

    def collect(self) -> list[Any]:
        return []


def test_what_is_not_shared_is_said(fleet: "Fleet") -> None:
    """
    Metrics from before the hook, and collectors that only the app understands.
    """
    early = Counter("early_tea", "Cups.")
    custom = Custom()
    REGISTRY.register(custom)
    try:
        fleet.become(0)
        early.inc()
        said = list(notices())
        assert "early_tea_total 1.0" in lines(REGISTRY)
    finally:
        REGISTRY.unregister(early)
        REGISTRY.unregister(custom)
    assert len(said) == 2
    assert "early_tea" in said[0]
    assert "Custom" in said[1]


def test_a_prometheus_client_that_works_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The app has what it would have without Penstock, and one sentence says so.
    """
    monkeypatch.setattr(Keeper, "make", lambda *_, **__: None)
    said: list[str] = []
    stock = (values.ValueClass, metrics.MetricWrapperBase.collect, multiprocess.mark_process_dead)

    assert install(ValueArea.scratch(), on_trouble=said.append) is None

    assert (values.ValueClass, metrics.MetricWrapperBase.collect, multiprocess.mark_process_dead) == stock
    assert hook._hook is None
    assert len(said) == 1
    assert "works otherwise than expected" in said[0]
    registry = CollectorRegistry()
    Counter("tea", "Cups.", registry=registry).inc()
    assert "tea_total 1.0" in lines(registry)
