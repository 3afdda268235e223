"""
Keeps asking upstream servers how they are, and writes down what they say.

A thin shell around history.py and probe.py: a task for each server, a bound on
those that ask at once. What it writes into its row is what workers go by.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from penstock.master.health.history import History, after_check, first_pause_s, pause_s
from penstock.master.health.probe import Finding, probe
from penstock.master.watched import HealthSettings, WatchedServer, WatchedUpstream
from penstock.shm import names
from penstock.shm.verdict import Verdict, verdict_word
from penstock.worker.gateway.spec import HealthCells
from penstock.worker.limits import HEALTH_CHECKS_MAX
from penstock.worker.logs import LOG

# A deadline that is noticed so much later says more of this process than of a server.
LATE_S = 0.1

# What was said of a server before this process began: see Verdicts.of.
Before = Callable[[int, str], Verdict]


@dataclass
class Patient:
    """A server that is looked after, and what is known of it."""

    upstream: str
    server: WatchedServer
    settings: HealthSettings
    cells: HealthCells
    history: History
    last: Finding | None = None
    checked_at_s: float | None = None  # wall-clock time of the last result
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Checker:
    """All health checks of this machine. `cells` are those of the admin process's own row."""

    def __init__(self, cells: memoryview, before: Before) -> None:
        self._cells = cells
        self._before = before
        self._patients: dict[tuple[str, str], Patient] = {}
        self._turns = asyncio.Semaphore(HEALTH_CHECKS_MAX)
        self._loop = asyncio.get_running_loop()

    def follow(self, upstreams: Iterable[WatchedUpstream]) -> None:
        """Look after the servers that there are now, and after no others."""
        gone = dict(self._patients)
        for upstream in upstreams:
            for server in upstream.servers if upstream.health is not None else ():
                # Of a service nothing is there to ask before its records are known.
                if server.health is None or server.address.startswith("srv:"):
                    continue
                assert upstream.health is not None
                gone.pop((upstream.name, server.address), None)
                self._look_after(upstream.name, server, upstream.health, server.health)
        for key, patient in gone.items():
            del self._patients[key]
            if patient.task is not None:
                patient.task.cancel()

    def of(self, upstream: str, address: str) -> Patient | None:
        """Tell what is known of a server."""
        return self._patients.get((upstream, address))

    def close(self) -> None:
        """Ask nobody any more; what was found stands."""
        for patient in self._patients.values():
            if patient.task is not None:
                patient.task.cancel()

    def _look_after(
        self, upstream: str, server: WatchedServer, settings: HealthSettings, cells: HealthCells
    ) -> None:
        patient = self._patients.get((upstream, server.address))
        if patient is None:
            history = History(self._before(cells.verdict, server.address))
            patient = Patient(upstream, server, settings, cells, history)
            self._patients[upstream, server.address] = patient
            patient.task = self._loop.create_task(self._keep_asking(patient))
        elif patient.settings != settings:
            # From now on by the new settings, and not only when the old pause is over.
            patient.settings = settings
            if patient.task is not None:
                patient.task.cancel()
            patient.task = self._loop.create_task(self._keep_asking(patient))
        patient.server, patient.cells = server, cells
        self._write(patient)

    async def _keep_asking(self, patient: Patient) -> None:
        await asyncio.sleep(first_pause_s(patient.settings, random.random()))
        was_late = False
        while True:
            async with self._turns:
                began_s = self._loop.time()
                finding = await self._ask(patient)
            took_s = self._loop.time() - began_s
            if finding.result == "timeout" and took_s > patient.settings.timeout_s + LATE_S and not was_late:
                # It was this process that was late, and the answer may lie there unread. Once in a row:
                # on a machine that is always late, servers that time out are of no use either.
                was_late = True
                continue
            was_late = False
            self._note(patient, finding)
            pause = pause_s(patient.history, patient.settings, random.random())
            await asyncio.sleep(max(0.0, began_s + pause - self._loop.time()))

    async def _ask(self, patient: Patient) -> Finding:
        try:
            return await probe(patient.server, patient.settings)
        except Exception as error:  # A mistake of ours must not end the checks, nor pass for health.
            LOG.exception(
                "upstream %s, %s: the health check failed", patient.upstream, patient.server.address
            )
            return Finding("protocol", f"the check failed: {error}")

    def _note(self, patient: Patient, finding: Finding) -> None:
        before = patient.history.verdict
        patient.history = after_check(
            patient.history, has_passed=finding.has_passed, settings=patient.settings
        )
        patient.last, patient.checked_at_s = finding, time.time()
        self._cells[patient.cells.checks + names.CHECK_RESULTS.index(finding.result)] += 1
        self._write(patient)
        if patient.history.verdict is not before:
            _tell(patient, before)

    def _write(self, patient: Patient) -> None:
        if patient.history.verdict is not Verdict.UNKNOWN:
            word = verdict_word(patient.server.address, patient.history.verdict)
            if self._cells[patient.cells.verdict] != word:
                self._cells[patient.cells.verdict] = word


def _tell(patient: Patient, before: Verdict) -> None:
    called = patient.server.address
    if patient.server.name:
        called = f"{called} ({patient.server.name})"
    if patient.history.verdict is Verdict.UNHEALTHY:
        assert patient.last is not None
        LOG.warning("upstream %s, %s: unhealthy: %s", patient.upstream, called, patient.last.reason)
    elif before is Verdict.UNHEALTHY:
        LOG.warning("upstream %s, %s: healthy again", patient.upstream, called)
    else:
        LOG.debug("upstream %s, %s: healthy", patient.upstream, called)
