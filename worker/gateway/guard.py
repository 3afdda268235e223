"""
Watches over the servers of one upstream: what may be asked another time, who is
put out for its failures, and who tries it again.

The deciding is done in `retry_budget`, `outlier` and `breaker`. It hears of
every failure, and of successes only where they matter: from servers that have
failed, which are read with care until they have worked.
"""

from typing import TYPE_CHECKING

from penstock.worker.gateway import numbers
from penstock.worker.gateway.breaker import Breaker
from penstock.worker.gateway.breaker import State as Circuit
from penstock.worker.gateway.outlier import Outlier, State, ejectable_count
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.retry_budget import RetryBudget
from penstock.worker.gateway.rules import CLOSED, CONNECT
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

    __slots__ = (
        "_failure_count",
        "_outliers",
        "_retry_count",
        "_upstream",
        "breaker",
        "budget",
        "causes",
        "repeatable",
        "statuses",
    )

    def __init__(self, upstream: "Upstream") -> None:
        rules = upstream.spec.retries
        self._upstream = upstream
        self.causes = rules.causes
        # Statuses for which another server is asked.
        self.statuses = rules.statuses if upstream.spec.retry_attempts else frozenset()
        # Methods whose requests may be sent a second time.
        self.repeatable = frozenset(METHODS.values()) if rules.non_idempotent else IDEMPOTENT
        self.budget = RetryBudget(rules.budget, upstream.now_s)
        breaker = upstream.spec.breaker
        self.breaker = None if breaker is None else Breaker(breaker, upstream.now_s)
        self._failure_count = 0
        self._retry_count = 0
        self._outliers: dict[Pool, Outlier] = {}

    # For requests.

    def refuses(self, request: object) -> int | None:
        """Tell in how many seconds a request may be sent again, if it may not go through now."""
        upstream, breaker = self._upstream, self.breaker
        if breaker is None:
            return None
        rules = upstream.spec.breaker
        assert rules is not None
        if (
            rules.requests_max is not None
            and sum(pool.busy_count for pool in upstream.pools) >= rules.requests_max
        ):
            return 1
        return None if breaker.admits(request) else breaker.retry_after_s(upstream.now_s)

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
        self._failure_count += 1
        pool.be_wary()
        breaker = self.breaker
        if breaker is not None and breaker.failed(by, self._upstream.now_s, self._totals):
            LOG.warning("upstream %s: too many failures, requests are refused", self._upstream.spec.name)
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
        breaker = self.breaker
        if breaker is not None and breaker.worked(by, self._upstream.now_s, self._totals):
            LOG.warning("upstream %s: it works again, and all requests go through", self._upstream.spec.name)
        if (outlier is None or outlier.is_in) and (breaker is None or breaker.state is Circuit.CLOSED):
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

    def note_retry(self, pool: Pool) -> None:
        """Count that a request goes elsewhere after it failed at a server."""
        self._retry_count += 1
        pool.note_retry()

    # For the upstream.

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        self.budget.advance(now_s, self._upstream.request_count)
        if self._outliers:
            self._serve(now_s)
        if self.breaker is not None and self.breaker.advance(now_s, self._totals):
            for pool in self._upstream.pools:
                pool.be_wary()  # Or nothing would be heard of what works.

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
            link.fail("it did not answer in time", numbers.TIMEOUT)

    @property
    def _totals(self) -> tuple[int, int]:
        """How many attempts there were, and how many of them failed."""
        return self._upstream.request_count + self._retry_count, self._failure_count

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
