"""What a connection costs that is only kept."""

from bench.idle import hold
from bench.peers import Work
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

COUNT = 5000


def measure(trial: Trial) -> Sample:
    """Measure the memory that idle connections add."""
    held = hold(trial.server, COUNT)
    trial.server.check()
    notes = (f"closed {held.closed:,} of {COUNT:,} idle connections",) if held.closed else ()
    return Sample(values={"idle_bytes": held.bytes_each}, notes=notes)


SCENARIO = Scenario(
    name="idle",
    title="5,000 idle connections",
    story=(
        "Keep-alive connections after one request each, which do nothing. Counted is the memory that the "
        "processes grow by (PSS), per connection; the kernel's own is not in it."
    ),
    metrics=(Metric("idle_bytes", "memory per idle connection", "bytes"),),
    work=Work(app="apps.hello:app", body="Hello, world!"),
    measure=measure,
    connections=COUNT,
    rounds_max=3,
    order=60,
)
