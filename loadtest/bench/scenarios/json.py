"""A usual API request: FastAPI, validated and answered as JSON."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost_and_latency, latency_metrics

RATE_OPEN = 1000

SCENARIO = Scenario(
    name="json",
    title="FastAPI JSON",
    story=(
        "GET / answered by a FastAPI route with a small model as JSON. The framework costs more than any "
        "server, so the servers come closer together: this is what a user would notice."
    ),
    metrics=(CPU, RATE, *latency_metrics(RATE_OPEN)),
    work=Work(app="apps.fastapi_json:app"),
    measure=cost_and_latency("get", RATE_OPEN),
    order=20,
)
