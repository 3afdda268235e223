"""What a deploy costs: requests lost while the workers are replaced."""

from bench.lost import KINDS, count_lost
from bench.peers import Work
from bench.reloading import reload_times
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

RELOADS = 5


def measure(trial: Trial) -> Sample:
    """Reload under load, and count what the clients lost."""
    with count_lost(trial.server.port, trial.core) as clients:
        notes = reload_times(trial.server, trial.peer, trial.work.workers, RELOADS)
    trial.server.check()
    lost = clients.lost
    values = {f"lost_{kind}": float(sum(lost[kind].values())) for kind in KINDS}
    told = [f"{kind}: {', '.join(f'{n} {how}' for how, n in lost[kind].items() if n)}" for kind in KINDS]
    values["requests"] = float(clients.requests)
    return Sample(values=values, notes=(*notes, *(line for line in told if not line.endswith(": "))))


SCENARIO = Scenario(
    name="reload",
    title="Reload under load: requests lost",
    story=(
        "Two workers are replaced five times, as on a deploy, under 40 keep-alive clients that look for a "
        "FIN before they reuse a connection, 40 that do not look, and 20 that connect for every request. "
        "Lost is a request that was sent, or a connection that was tried, without a whole answer; a client "
        "that sees the FIN in time, or was told `Connection: close`, connects again and has lost nothing."
    ),
    metrics=(
        Metric("lost_blind", "lost by clients that do not look", "requests"),
        Metric("lost_looking", "lost by clients that look for a FIN", "requests"),
        Metric("lost_oneshot", "lost by one-shot clients", "requests"),
        Metric("requests", "requests made", "requests", lower_is_better=False),
    ),
    work=Work(app="apps.hello:app", body="Hello, world!", workers=2),
    measure=measure,
    needs_reload=True,
    rounds_max=3,
    order=80,
)
