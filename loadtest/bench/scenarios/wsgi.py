"""What a request costs when the app is WSGI and runs in a thread."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost_and_latency, latency_metrics

RATE_OPEN = 1000

SCENARIO = Scenario(
    name="wsgi",
    title="WSGI hello world",
    story=(
        "GET / answered with 13 bytes by the smallest WSGI app, in a thread: the price of the server and of "
        "handing the request over. gunicorn has ten threads, as Penstock has by default."
    ),
    metrics=(CPU, RATE, *latency_metrics(RATE_OPEN)),
    work=Work(app="apps.hello_wsgi:app", is_wsgi=True),
    measure=cost_and_latency("get", RATE_OPEN),
    order=15,
)
