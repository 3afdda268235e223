"""A response that is streamed in pieces."""

from bench.load import script_named
from bench.peers import Work
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

MEBIBYTE = 1 << 20


def measure(trial: Trial) -> Sample:
    """Measure CPU per response, which is a mebibyte."""
    values, notes = trial.closed(script_named("get"))
    return Sample(values={"cpu_us": values["cpu_us"], "rate": values["rate"]}, notes=notes)


SCENARIO = Scenario(
    name="stream",
    title="1 MiB streamed",
    story=(
        "An ASGI app sends 16 pieces of 64 KiB without Content-Length, so the server frames them as chunks "
        "and waits for slow clients. nginx sends a file of that size from its cache instead."
    ),
    metrics=(
        Metric("cpu_us", "CPU per MiB", "µs"),
        Metric("rate", "closed loop, one core", "MiB/s", lower_is_better=False),
    ),
    work=Work(app="apps.stream:app", file_bytes=MEBIBYTE, floor="-chunked"),
    measure=measure,
    order=40,
)
