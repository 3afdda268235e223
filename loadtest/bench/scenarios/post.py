"""A request with a body."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost

SCENARIO = Scenario(
    name="post",
    title="POST of 4 KiB",
    story="A JSON body of 4 KiB is read whole by an ASGI app, which answers how long it was.",
    metrics=(CPU, RATE),
    work=Work(app="apps.post:app"),
    measure=cost("post"),
    order=30,
)
