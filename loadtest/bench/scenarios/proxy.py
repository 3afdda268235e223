"""What a request costs that is passed on."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost_and_latency, latency_metrics

RATE_OPEN = 5000

SCENARIO = Scenario(
    name="proxy",
    title="A reverse proxy before nginx",
    story=(
        "GET / passed on to an nginx that answers with 13 bytes, over connections that are kept. All set "
        "X-Forwarded-For, -Proto and -Host, have timeouts for every phase and count requests; HAProxy and "
        "Penstock check the server's health beside that. In the closed loop the nginx behind shares the "
        "load's core, in the open one the server's."
    ),
    metrics=(CPU, RATE, *latency_metrics(RATE_OPEN)),
    work=Work(app="", origin=Work(app="", body="Hello, world!")),
    measure=cost_and_latency("get", RATE_OPEN),
    order=70,
)
