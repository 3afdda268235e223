"""What ten thousand connections cost that are only kept: memory, and the time of a core."""

from bench.idle import hold
from bench.peers import Work
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

COUNT = 10_000
# Between one thousand and the next: clients do not come all at once, and memory that was needed for all of
# them at one time is not given back.
PAUSE_S = 2.5
# Servers that look at their connections one by one do so every few seconds.
WATCH_S = 10.0
# nginx closes idle connections when less than a sixteenth of what it may have is left.
SPARE_CONNECTIONS = 1000


def measure(trial: Trial) -> Sample:
    """Measure what idle connections add to the memory, and what doing nothing takes."""
    held = hold(trial.server, COUNT, pause_s=PAUSE_S, watch_s=WATCH_S)
    trial.server.check()
    notes = (f"closed {held.closed:,} of {COUNT:,} idle connections",) if held.closed else ()
    return Sample(values={"idle_bytes": held.bytes_each, "idle_cpu_ms": held.cpu_share * 1e3}, notes=notes)


SCENARIO = Scenario(
    name="crowd",
    title="10,000 idle connections",
    story=(
        "As with 5,000, but they come over half a minute; and beside the memory the CPU time that the "
        "processes take in each second in which nothing comes: an idle server that looks at its connections "
        "pays for each of them."
    ),
    metrics=(
        Metric("idle_bytes", "memory per idle connection", "bytes"),
        Metric("idle_cpu_ms", "CPU per idle second", "ms"),
    ),
    work=Work(app="apps.hello:app", body="Hello, world!", connections=COUNT + SPARE_CONNECTIONS),
    measure=measure,
    connections=COUNT,
    rounds_max=3,
    order=61,
)
