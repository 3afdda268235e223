"""
Brings workers into the world: a row, a channel, a fork, and what the child is told.

When and on which slot is the supervisor's decision.
"""

import os
import time
from collections.abc import Callable

from penstock.master.cores import usable_cores
from penstock.master.crew import Crew
from penstock.master.fleet import State, Worker
from penstock.master.generation import Generation
from penstock.master.holdings import Holdings
from penstock.shm.owner import process_started
from penstock.shm.row import Kind
from penstock.worker.channel import Channel
from penstock.worker.identity import Identity
from penstock.worker.process import Assignment, run_worker
from penstock.worker.stacks import create_stack_file


class Nursery:
    """Forks workers of this master."""

    def __init__(self, crew: Crew, holdings: Holdings) -> None:
        self._crew = crew
        self._holdings = holdings

    def spawn(
        self,
        generation: Generation,
        slot: int,
        *,
        worker_count: int,
        now_s: float,
        let_go: Callable[[], None],
    ) -> Worker:
        """
        Fork a worker of a generation that this master can start. Raises RowsFull, OSError.

        `let_go` closes, in the child, what is the master's alone.
        """
        spec = generation.spec
        assert spec is not None, "an adopted generation cannot be started"
        holdings = self._holdings
        core = usable_cores().core_of(slot) if generation.is_pinned else None
        row = holdings.segment.claim(
            kind=Kind.WORKER, generation=generation.number, slot=slot, core=core, now_ns=time.monotonic_ns()
        )
        stacks_fd = access_fd = -1
        master_pid = os.getpid()
        identity = Identity(
            slot=slot,
            core=core,
            generation=generation.number,
            worker_count=worker_count,
            admin_address=holdings.admin.shown_address if holdings.admin else None,
            name=spec.name,
            master_pid=master_pid,
        )

        def live(channel: Channel) -> int:
            return run_worker(
                Assignment(
                    spec=spec,
                    identity=identity,
                    master_pid=master_pid,
                    segment=holdings.segment,
                    row_index=row.index,
                    channel=channel,
                    lifeline_fd=holdings.lifeline[0],
                    stacks_fd=stacks_fd,
                    groups=generation.groups,
                    tls_contexts=generation.tls_contexts,
                    apps=generation.apps,
                    access_fd=access_fd if access_fd >= 0 else None,
                )
            )

        try:
            stacks_fd = create_stack_file()
            if generation.access_file is not None:
                # One of its own, because it lets go of all that the master keeps.
                access_fd = os.dup(generation.access_file.fd)
            pid = self._crew.fork(let_go, live)
        except OSError:
            if stacks_fd >= 0:
                os.close(stacks_fd)
            holdings.retire(row.index)
            raise
        finally:
            if access_fd >= 0:
                os.close(access_fd)
        holdings.stack_fds[pid] = stacks_fd
        row.set_process(pid, process_started(pid))
        return Worker(
            pid=pid,
            slot=slot,
            generation=generation.number,
            row=row.index,
            core=core,
            state=State.STARTING,
            since_s=now_s,
            spawned_s=now_s,
            drain_timeout_s=generation.drain_timeout_s,
        )
