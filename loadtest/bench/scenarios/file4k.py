"""A static file of 4 KiB."""

from bench.peers import Work
from bench.scenario import CPU, RATE, Scenario, cost

SCENARIO = Scenario(
    name="file4k",
    title="A static file of 4 KiB",
    story=(
        "GET of a file that is in memory. Penstock has a files route and nginx a root, both with sendfile; "
        "the others run Starlette's StaticFiles."
    ),
    metrics=(CPU, RATE),
    work=Work(app="apps.files:file4k", file_bytes=4096, is_static=True),
    measure=cost("get"),
    order=41,
)
