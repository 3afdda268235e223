"""
What the health checks say, for a worker that asks about its upstream servers.

The checks are done once per machine, by the admin process, which writes what it
finds into its own row. While nobody says anything, because that process has just
been started, what was said last holds.
"""

from penstock.shm import layout
from penstock.shm.row import Kind
from penstock.shm.segment import Segment
from penstock.shm.verdict import Verdict, read_verdict
from penstock.worker.gateway.upstream import Gateway


class Verdicts:
    """Reads the rows of admin processes: there are two of them during a hot restart."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._cells: list[memoryview] = []  # of those that are there, the youngest first

    def look(self) -> None:
        """Find out whose word counts now."""
        found = []
        for row in self._segment.own_rows():
            if row.master[layout.MASTER_KIND] == Kind.ADMIN:
                reading = row.read()
                if reading is not None and reading.is_current:
                    found.append((reading.spawned_ns, row.cells))
        found.sort(key=lambda each: each[0], reverse=True)
        self._cells = [cells for _, cells in found]

    def of(self, word: int, address: str) -> Verdict:
        """Tell what is said of a server: by the youngest who says anything."""
        for cells in self._cells:
            verdict = read_verdict(cells[word], address)
            if verdict is not Verdict.UNKNOWN:
                return verdict
        return Verdict.UNKNOWN

    def apply(self, gateway: Gateway, now_s: float) -> None:
        """Let the servers of a worker be as healthy as is said."""
        self.look()
        for upstream in gateway.upstreams.values():
            for pool in upstream.pools:
                health = pool.server.health
                if health is None:
                    continue
                verdict = self.of(health.verdict, pool.server.address)
                is_healthy = verdict is Verdict.HEALTHY
                if verdict is not Verdict.UNKNOWN and pool.standing.is_healthy != is_healthy:
                    pool.standing.is_healthy = is_healthy
                    pool.standing.judge(now_s)
