"""Count with whatever prometheus_client is found first, and read it back through the areas of two workers."""

import sys

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from penstock.shm.readings import Source
from penstock.shm.values import ValueArea
from penstock.worker.appmetrics import install
from penstock.worker.appmetrics.keeper import OneArea

areas = [ValueArea.scratch(), ValueArea.scratch()]
view = OneArea(*(Source(slot, area, str(slot), rank=slot) for slot, area in enumerate(areas)))
said: list[str] = []

for slot, area in enumerate(areas):
    hook = install(area, view=view, on_trouble=said.append)
    assert hook is not None, said
    registry = CollectorRegistry()
    counter = Counter("tea", "Cups.", ["kind"], registry=registry)
    counter.labels("assam").inc(2)
    counter.labels(f"of {slot}").inc()
    Gauge("largest", "-", registry=registry, multiprocess_mode="max").set(slot)
    Gauge("each", "-", registry=registry).set(slot)
    Histogram("steeping", "-", registry=registry, buckets=(1, 2)).observe(1.5)
    Summary("price", "-", registry=registry).observe(3)
    Info("build", "-", registry=registry).info({"v": str(slot)})
    Enum("door", "-", states=["open", "closed"], registry=registry).state("closed")
    if slot == 0:
        hook.uninstall()

expected = """
tea_total{kind="assam"} 4.0
tea_total{kind="of 0"} 1.0
tea_total{kind="of 1"} 1.0
largest 1.0
each{worker="0"} 0.0
each{worker="1"} 1.0
steeping_bucket{le="1.0"} 0.0
steeping_bucket{le="2.0"} 2.0
steeping_bucket{le="+Inf"} 2.0
steeping_count 2.0
steeping_sum 3.0
price_count 2.0
price_sum 6.0
build_info{v="1"} 1.0
door{door="open"} 0.0
door{door="closed"} 1.0
""".strip().splitlines()
lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
assert lines == expected, lines

counter.remove("of 0")
assert 'tea_total{kind="of 0"} 1.0' not in generate_latest(registry).decode()
if hasattr(counter, "clear"):
    counter.clear()
    assert "tea_total{" not in generate_latest(registry).decode()
counter.labels("assam").inc()
assert 'tea_total{kind="assam"} 5.0' in generate_latest(registry).decode()
text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
assert text.decode().endswith("# EOF\n")
assert not said, said

print(prometheus_client.__file__, file=sys.stderr)
