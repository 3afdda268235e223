"""
Keeps the names of upstream servers looked up, and says when one stands for something else.

A thin shell around answer.py and lookup.py: a task for each name. What was known
stays while nothing better is: a name server that is down takes no server away.
"""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.master.resolving.answer import Answer, NotFound, pause_after, pause_after_failure
from penstock.master.resolving.hosts import HostsFile
from penstock.master.watched import ResolveSettings, WatchedUpstream
from penstock.worker.limits import LOOKUPS_MAX
from penstock.worker.logs import LOG
from penstock.worker.messages import Found, Resolved

if TYPE_CHECKING:
    from penstock.master.resolving.lookup import Lookup

# Tells the master, if it can hear it now.
Tell = Callable[[Resolved], None]

# What is shown of a name that stands for many.
SHOWN_MAX = 8


@dataclass
class Name:
    """A name that is kept looked up, and what is known of it."""

    upstream: str
    server: str  # as configured
    settings: ResolveSettings
    found: tuple[Found, ...] | None = None
    resolved_at_s: float | None = None  # wall-clock time of the last answer
    ttl_s: float | None = None
    failures: int = 0  # in a row
    failure: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Names:
    """All names that are looked up on this machine."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._names: dict[tuple[str, str], Name] = {}
        self._turns = asyncio.Semaphore(LOOKUPS_MAX)
        self._hosts = HostsFile()
        self._loop = asyncio.get_running_loop()

    def follow(self, upstreams: Iterable[WatchedUpstream]) -> None:
        """Look up the names that there are now, and no others."""
        wanted = {
            (upstream.name, name): upstream.resolve for upstream in upstreams for name in upstream.names
        }
        for key, name in list(self._names.items()):
            if wanted.get(key) != name.settings:
                del self._names[key]
                if name.task is not None:
                    name.task.cancel()
        for key, settings in wanted.items():
            if key not in self._names:
                name = Name(*key, settings)
                self._names[key] = name
                name.task = self._loop.create_task(self._keep_asking(name))

    def of(self, upstream: str, server: str) -> Name | None:
        """Tell what is known of a name."""
        return self._names.get((upstream, server))

    def close(self) -> None:
        """Ask nobody any more."""
        for name in self._names.values():
            if name.task is not None:
                name.task.cancel()

    async def _keep_asking(self, name: Name) -> None:
        # Where no server is a name, nobody needs the library; and the admin endpoint does not wait for it.
        module = await asyncio.to_thread(importlib.import_module, "penstock.master.resolving.lookup")
        lookup: Lookup = module.Lookup(name.settings, self._hosts)
        while True:
            try:
                async with self._turns:
                    answer = await lookup.find(name.server)
            except NotFound as error:
                pause_s = self._failed(name, str(error))
            except Exception as error:  # A mistake of ours must not end the look-ups.
                LOG.exception("upstream %s, %s: the look-up failed", name.upstream, name.server)
                pause_s = self._failed(name, str(error))
            else:
                pause_s = self._found(name, answer)
            await asyncio.sleep(pause_s)

    def _found(self, name: Name, answer: Answer) -> float:
        if name.failures:
            LOG.info("upstream %s, %s: resolved again", name.upstream, name.server)
        name.failures, name.failure = 0, ""
        name.resolved_at_s, name.ttl_s = time.time(), answer.ttl_s
        if answer.found not in (name.found, (Found(name.server),)):
            LOG.info("upstream %s, %s: is %s", name.upstream, name.server, shown(answer.found))
        name.found = answer.found
        # Whether it is news or not: the master may have missed it, or forgotten it meanwhile.
        self._tell(Resolved(name.upstream, name.server, answer.found))
        return pause_after(answer.ttl_s, name.settings)

    def _failed(self, name: Name, reason: str) -> float:
        name.failures += 1
        if reason != name.failure:
            what = "no server is known" if name.found is None else "going on with what was known"
            LOG.warning("upstream %s, %s: not resolved: %s; %s", name.upstream, name.server, reason, what)
        name.failure = reason
        return pause_after_failure(name.failures, name.settings)


def shown(found: Iterable[Found]) -> str:
    """List servers for a line of the log."""
    addresses = [each.address for each in found]
    more = f" and {len(addresses) - SHOWN_MAX} more" if len(addresses) > SHOWN_MAX else ""
    return ", ".join(addresses[:SHOWN_MAX]) + more
