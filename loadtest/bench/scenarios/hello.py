"""What a request costs when the app costs nothing."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost_and_latency, latency_metrics

RATE_OPEN = 2000

SCENARIO = Scenario(
    name="hello",
    title="ASGI hello world",
    story=(
        "GET / answered with 13 bytes by the smallest ASGI app: the price of the server itself. nginx and "
        "HAProxy call no app; they answer from their configuration."
    ),
    metrics=(CPU, RATE, *latency_metrics(RATE_OPEN)),
    work=Work(app="apps.hello:app", body="Hello, world!"),
    measure=cost_and_latency("get", RATE_OPEN),
    order=10,
)
