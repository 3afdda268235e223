"""What a megabyte costs that is passed on."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost

SCENARIO = Scenario(
    name="proxy1m",
    title="A megabyte through a reverse proxy",
    story=(
        "GET of a file of 1 MiB that an nginx behind has. nginx as a proxy buffers responses, as it does by "
        "default."
    ),
    metrics=(CPU, RATE),
    work=Work(app="", origin=Work(app="", file_bytes=1024 * 1024)),
    measure=cost("get"),
    order=71,
)
