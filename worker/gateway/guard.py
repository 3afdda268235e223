"""
Watches over the servers of one upstream: what may be asked another time, who is
put out for its failures, and who tries it again.

The deciding is done in `retry_budget`, `outlier` and `breaker`. It hears of
every failure, and of successes only where they matter: from servers that have
failed, which are read with care until they have worked.
"""

from typing import TYPE_CHECKING

from penstock.worker.gateway.outlier import Outlier, State, ejectable_count
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.retry_budget import RetryBudget
from penstock.worker.gateway.rules import CLOSED, CONNECT, TIMEOUT
from penstock.worker.http.head import METHODS
from penstock.worker.limits import TRIAL_PATIENCE_S, TRIAL_S
from penstock.worker.logs import LOG

if TYPE_CHECKING:
    from penstock.worker.gateway.passage import Passage
    from penstock.worker.gateway.upstream import Upstream

# Those that may be asked twice without being meant twice (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}
)


class Guard:
    """The watch over one upstream."""

    __slots__ = ("_outliers", "_upstream", "budget", "causes", "failure_count", "repeatable", "statuses")

    def __init__(self, upstream: "Upstream") -> None:
        rules = upstream.spec.retries
        self._upstream = upstream
        self.causes = rules.causes
        # Statuses for which another server is asked.
        self.statuses = rules.statuses if upstream.spec.retry_attempts else frozenset()
        # Methods whose requests may be sent a second time.
        self.repeatable = frozenset(METHODS.values()) if rules.non_idempotent else IDEMPOTENT
        self.budget = RetryBudget(rules.budget, upstream.now_s)
        self.failure_count = 0
        self._outliers: dict[Pool, Outlier] = {}

    # For requests.

    def allows_retry(self, cause: str, tried: list[int]) -> bool:
        """Tell whether a request may go on to another server after it failed, and count that."""
        upstream = self._upstream
        if cause not in self.causes:
            return False
        # One that closes a connection may have done it by the way; for all else the same server is no help.
        if cause != CLOSED and not upstream.has_other(tried):
            return False
        # What has not reached a server is no load on any.
        return cause == CONNECT or self.budget.take(upstream.request_count)

    def allows_another(self, tried: list[int]) -> bool:
        """Tell whether another server may be asked because of what one has answered, and count that."""
        upstream = self._upstream
        return upstream.has_other(tried) and self.budget.take(upstream.request_count)

    def failed(self, pool: Pool, by: object) -> bool:
        """Count a failure of a server; return whether this request was to try it."""
        self.failure_count += 1
        pool.be_wary()
        rules = self._upstream.spec.ejection
        if rules is None:
            return False
        outlier = self._outliers.get(pool)
        if outlier is None:
            outlier = self._outliers[pool] = Outlier(rules)
        now_s = self._upstream.now_s
        was_in = outlier.is_in
        if not outlier.failed(by, now_s, may_eject=was_in and self._may_eject()):
            return False
        pool.note_ejection()
        why = f"failures in a row: {rules.consecutive_failures}" if was_in else "it failed again"
        self._tell(pool, f"out of service for {outlier.until_s - now_s:g} s: {why}")
        self._take_out(pool, now_s)
        return not was_in

    def worked(self, pool: Pool, by: object) -> None:
        """Count a success of a server that has failed."""
        outlier = self._outliers.get(pool)
        if outlier is not None and outlier.worked(by, self._upstream.now_s):
            self._tell(pool, "back in service")
            pool.standing.is_ejected = False
            pool.standing.judge(self._upstream.now_s)
        if outlier is None or outlier.is_in:
            pool.be_easy()

    def trial_for(self, passage: "Passage") -> Pool | None:
        """Return the server that this request is to try, if one is due and the request is fit for it."""
        upstream = self._upstream
        now_s = upstream.now_s
        for pool in upstream.trials:
            outlier = self._outliers[pool]
            is_fit = passage.is_repeatable and upstream.spec.retry_attempts > 0
            # Where no such request ever comes, another must do.
            if not is_fit and now_s - outlier.since_s < TRIAL_PATIENCE_S:
                continue
            outlier.try_with(passage, now_s)
            upstream.trials.remove(pool)
            return pool
        return None

    # For the upstream.

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        self.budget.advance(now_s, self._upstream.request_count)
        if self._outliers:
            self._serve(now_s)

    def _serve(self, now_s: float) -> None:
        upstream = self._upstream
        pools = set(upstream.pools)
        for pool, outlier in list(self._outliers.items()):
            if pool not in pools:
                del self._outliers[pool]  # It is a server of this upstream no more.
                continue
            outlier.serve(now_s)
            if outlier.state is State.TRIED:
                self._watch_trial(pool, outlier, now_s)
        upstream.trials = [
            pool
            for pool, outlier in self._outliers.items()
            if outlier.state is State.DUE and pool.standing.is_healthy
        ]

    def _watch_trial(self, pool: Pool, outlier: Outlier, now_s: float) -> None:
        passage: Passage = outlier.trial  # type: ignore[assignment]  # it alone tries servers
        link = passage.link_to(pool)
        if link is None:
            if not passage.waits_for(pool):
                outlier.lose_trial(now_s)
        elif passage.awaits_answer and now_s - outlier.since_s >= TRIAL_S:
            # Nobody is to wait long for one that was out for not answering.
            link.fail("it did not answer in time", TIMEOUT)

    def _may_eject(self) -> bool:
        upstream = self._upstream
        rules = upstream.spec.ejection
        assert rules is not None
        out_count = sum(not each.is_in for each in self._outliers.values())
        return out_count < ejectable_count(len(upstream.pools), rules.ratio_max)

    def _take_out(self, pool: Pool, now_s: float) -> None:
        pool.standing.is_ejected = True
        pool.standing.judge(now_s)
        pool.drop_idle()

    def _tell(self, pool: Pool, what: str) -> None:
        LOG.warning("upstream %s, %s: %s", self._upstream.spec.name, pool.server.address, what)
