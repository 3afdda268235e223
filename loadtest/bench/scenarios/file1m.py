"""A static file of 1 MiB."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost

SCENARIO = Scenario(
    name="file1m",
    title="A static file of 1 MiB",
    story=(
        "GET of a file that is in memory. Penstock has a files route and nginx a root, both with sendfile; "
        "the others run Starlette's StaticFiles."
    ),
    metrics=(CPU, RATE),
    work=Work(app="apps.files:file1m", file_bytes=1 << 20, is_static=True),
    measure=cost("get"),
    order=42,
)
