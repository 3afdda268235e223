"""
SIGUSR2 from the order to execve: when it may begin, what its check said, what is handed over.

upgrade.py does what touches processes; what the next image is told is put
together by succession.py.
"""

import time

from penstock.master.crew import Exit
from penstock.master.handover import Handover
from penstock.master.operations import Operation
from penstock.master.parts import Parts
from penstock.master.signals import block_signals, unblock_signals
from penstock.master.succession import describe
from penstock.master.workforce import Workforce
from penstock.worker.logs import LOG

# How long it waits for workers to read what was sent to them: what waits in this process would be
# lost with it.
UNREAD_S = 2.0


class HotRestart:
    """The hot restart of one master."""

    def __init__(self, parts: Parts, force: Workforce) -> None:
        self._parts = parts
        self._force = force
        self._verbs: tuple[str, ...] = ("upgrade",)  # the orders that its failure ends

    def on_order(self, _: Operation) -> None:
        """Say what it waits for, if it has to."""
        if not self._force.fleet.has_served:
            LOG.info("hot restart: as soon as every worker is ready")
        elif self._parts.upgrade.is_running:
            LOG.info("hot restart: already on its way")

    def start(self, *verbs: str) -> None:
        """Begin with the check of the new code. It carries out these orders beside `upgrade`."""
        self._verbs = ("upgrade", *verbs)
        failure = self._parts.upgrade.start(self._parts.holdings.segment.fd)
        if failure is not None:
            self._fail(failure)
        self._force.is_changed = True

    def on_preflight(self, exit: Exit, *, is_wanted: bool) -> None:
        """Become the new code if it has passed its check; only a failure comes back from that."""
        self._force.is_changed = True
        failure = self._parts.upgrade.judge(exit)
        if not is_wanted:
            return
        if failure is None:
            failure = self._flush()
        if failure is None:
            # The new image starts its own; should it not come to that, it is started again.
            self._parts.reloader.interrupt()
            # A signal that comes between the two images would kill the new one: its handlers do not
            # stand yet. Those that were taken and not acted on wait in the kernel for whoever runs next.
            block_signals()
            self._parts.inbox.put_back()
            failure = self._parts.upgrade.execute(self._describe())
            unblock_signals()
        self._fail(failure)

    def _flush(self) -> str | None:
        """Leave no message to a worker behind in this image; say why if that cannot be."""
        unread = self._parts.crew.flush([worker.pid for worker in self._force.fleet.workers], UNREAD_S)
        return f"process {unread[0]} reads no messages" if unread else None

    def _fail(self, failure: str) -> None:
        self._parts.ledger.fail(f"hot restart: {failure}")
        for verb in self._verbs:
            self._parts.ledger.operations.refuse(verb, failure, time.time())
        serving = self._force.fleet.serving_generation
        LOG.error("hot restart failed; generation %d goes on: %s", serving, failure)

    def _describe(self) -> Handover:
        parts = self._parts
        return describe(
            name=parts.planner.name,
            directory=parts.upgrade.directory,
            ledger=parts.ledger,
            configured_workers=parts.planner.config.workers,
            last_generation=self._force.last_generation,
            holdings=parts.holdings,
            fleet=self._force.fleet,
            drain_reasons=self._force.drain_reasons,
            generations=self._force.generations,
            crew=parts.crew,
            lent=parts.lender.lent,
            admin_rows=parts.admin.rows,
            admin_account=parts.admin.account,
            members=parts.members,
        )
