"""What a reverse proxy adds to the time of one request."""

from bench.peers import Work
from bench.result import Metric
from bench.scenario import Scenario, latencies_of_one

SCENARIO = Scenario(
    name="proxy_one",
    title="A reverse proxy before nginx, one request at a time",
    story=(
        "One connection that asks again when it has its answer: what a single user waits for. In the time of "
        "a request are four hops over the loopback and an nginx's answer beside the proxy's own work."
    ),
    metrics=(Metric("p50_us", "p50", "µs"), Metric("p99_us", "p99", "µs")),
    work=Work(app="", origin=Work(app="", body="Hello, world!")),
    measure=latencies_of_one,
    order=72,
)
