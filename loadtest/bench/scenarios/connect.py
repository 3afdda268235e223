"""A connection for every request."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost

SCENARIO = Scenario(
    name="connect",
    title="A connection per request",
    story=(
        "Clients send `Connection: close` and connect anew for each request: accept, one request, close. "
        "Most of it is the kernel's work."
    ),
    metrics=(CPU, RATE),
    work=Work(app="apps.hello:app", body="Hello, world!", floor="-closing"),
    measure=cost("connect"),
    order=50,
)
