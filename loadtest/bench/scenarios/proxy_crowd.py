"""What a reverse proxy with ten thousand idle clients takes for a request of others."""

from bench.idle import held
from bench.peers import Work
from bench.result import Sample
from bench.scenario import CPU, RATE, Scenario, Trial, cost_and_latency, latency_metrics
from bench.scenarios.proxy import RATE_OPEN

COUNT = 10_000
SPARE_CONNECTIONS = 1000


def measure(trial: Trial) -> Sample:
    """Measure as without them, while they are there."""
    with held(trial.server, COUNT):
        return cost_and_latency("get", RATE_OPEN)(trial)


SCENARIO = Scenario(
    name="proxy_crowd",
    title="The same with 10,000 idle connections beside",
    story="As `proxy`, but ten thousand other clients keep a connection open, after one request each.",
    metrics=(CPU, RATE, *latency_metrics(RATE_OPEN)),
    work=Work(app="", origin=Work(app="", body="Hello, world!"), connections=COUNT + SPARE_CONNECTIONS),
    measure=measure,
    connections=COUNT,
    rounds_max=3,
    order=73,
)
