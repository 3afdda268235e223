"""Different paths, one of them slow: does one visitor make others wait?"""

from bench.load import script_named
from bench.peers import Work
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

RATE_OPEN = 1000


def measure(trial: Trial) -> Sample:
    """Measure latency in an open loop, and CPU per request at that rate."""
    values, result, notes = trial.open(script_named("mix"), RATE_OPEN)
    # Two in a hundred are slow by themselves: it is the others that p95 tells of.
    values |= {"p95_ms": result.latency_us(95) / 1e3, "p999_ms": result.latency_us(99.9) / 1e3}
    return Sample(values=values, curve=result.curve, notes=notes)


SCENARIO = Scenario(
    name="mix",
    title="A mix with a slow endpoint",
    story=(
        "A weighted mix of four paths. Two requests in a hundred go to one that awaits 50 ms and then "
        "keeps the processor for 2 ms, which everybody else has to wait for: the tail shows how long."
    ),
    metrics=(
        Metric("p95_ms", f"p95 at {RATE_OPEN:,}/s", "ms"),
        Metric("p50_ms", f"p50 at {RATE_OPEN:,}/s", "ms"),
        Metric("p999_ms", f"p99.9 at {RATE_OPEN:,}/s", "ms"),
        Metric("open_cpu_us", "CPU per request", "µs"),
    ),
    work=Work(app="apps.mix:app"),
    measure=measure,
    order=70,
)
