"""
The two ends of a hand-over: describing what a master holds, and taking it up.

Only translation between live objects and handover.py's records; when to do it
is the supervisor's affair.
"""

import selectors
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from penstock.master.access_file import AccessFile
from penstock.master.config.bind import parse_bind
from penstock.master.crew import Crew
from penstock.master.fleet import Fleet, State, Worker
from penstock.master.generation import Generation
from penstock.master.handover import (
    Handover,
    HeldAdmin,
    HeldGeneration,
    HeldListener,
    HeldName,
    HeldShard,
    HeldWorker,
)
from penstock.master.holdings import Holdings
from penstock.master.inheritance import take_segment
from penstock.master.ledger import Ledger
from penstock.master.lending import Shard
from penstock.master.listeners import Listener
from penstock.master.members import Members
from penstock.master.operations import Operations
from penstock.master.pidfile import Pidfile
from penstock.shm.segment import Segment
from penstock.worker.channel import Channel, inline_datagram
from penstock.worker.messages import stand_in_prefix


def describe(
    *,
    name: str,
    directory: str,
    ledger: Ledger,
    configured_workers: int | Literal["auto"],
    last_generation: int,
    holdings: Holdings,
    fleet: Fleet,
    drain_reasons: Mapping[int, str],
    generations: dict[int, Generation],
    crew: Crew,
    lent: dict[Shard, frozenset[int]],
    admin_rows: dict[int, int],
    admin_account: tuple[int | None, int | None],
    members: Members,
) -> Handover:
    """Write down everything that the next image needs."""
    assert holdings.control is not None
    workers = tuple(
        _held_worker(worker, drain_reasons.get(worker.pid), crew, holdings.stack_fds.get(worker.pid))
        for worker in fleet.workers
    )
    return Handover(
        name=name,
        directory=directory,
        started_at_s=ledger.started_at_s,
        last_generation=last_generation,
        slot_count=fleet.slot_count,
        configured_workers=configured_workers,
        master_row=ledger.row_index,
        worker_restarts=ledger.worker_restarts,
        reload_failures=ledger.reload_failures,
        segment_fd=holdings.segment.fd,
        ancestor_fds=tuple(each.fd for each in holdings.segment.living_ancestors()),
        segment_resets=ledger.segment_resets,
        lifeline_fds=holdings.lifeline,
        listeners=tuple(_held_listener(listener) for listener in holdings.listeners.values()),
        control=_held_listener(holdings.control),
        admin_listener=_held_listener(holdings.admin) if holdings.admin else None,
        pidfile=(str(holdings.pidfile.path), holdings.pidfile.fd) if holdings.pidfile else None,
        admin_account=admin_account,
        workers=workers,
        admins=tuple(
            HeldAdmin(pid=pid, row=row, channel_fd=crew.channel_fd(pid))
            for pid, row in admin_rows.items()
            if crew.has_channel(pid)
        ),
        generations=tuple(
            HeldGeneration(
                number=each.number,
                addresses=tuple(sorted(each.addresses)),
                drain_timeout_s=each.drain_timeout_s,
                access_path=each.access_file.path if each.access_file else None,
            )
            for each in generations.values()
        ),
        shards=tuple(
            HeldShard(address=address, index=index, pids=tuple(sorted(pids)))
            for (address, index), pids in lent.items()
        ),
        names=tuple(
            HeldName(upstream=upstream, server=server, found=found)
            for (upstream, server), found in members.found.items()
        ),
        operations=ledger.operations.all,
        stand_in_notice=inline_datagram(stand_in_prefix()).hex(),
    )


def _held_worker(worker: Worker, drain_reason: str | None, crew: Crew, stacks_fd: int | None) -> HeldWorker:
    assert worker.state is not State.GONE
    return HeldWorker(
        pid=worker.pid,
        slot=worker.slot,
        generation=worker.generation,
        row=worker.row,
        core=worker.core,
        state=worker.state.value,
        since_s=worker.since_s,
        spawned_s=worker.spawned_s,
        is_killed=worker.is_killed,
        can_take=worker.can_take,
        stacks_fd=stacks_fd,
        silent_since_s=worker.silent_since_s,
        drain_reason=drain_reason,
        # One whose channel has closed is about to be reaped, by whoever is the master then.
        channel_fd=crew.channel_fd(worker.pid) if crew.has_channel(worker.pid) else None,
    )


def _held_listener(listener: Listener) -> HeldListener:
    return HeldListener(
        name=listener.name,
        address=listener.key,
        backlog=listener.backlog,
        fds=tuple(shard.fileno() for shard in listener.shards),
    )


def take_holdings(handover: Handover) -> Holdings:
    """Make live objects of the inherited descriptors."""
    return Holdings(
        segment=take_segment(handover),
        lifeline=handover.lifeline_fds,
        listeners={each.address: _listener(each) for each in handover.listeners},
        control=_listener(handover.control),
        admin=_listener(handover.admin_listener) if handover.admin_listener else None,
        pidfile=Pidfile(Path(handover.pidfile[0]), handover.pidfile[1]) if handover.pidfile else None,
        stack_fds={held.pid: held.stacks_fd for held in handover.workers if held.stacks_fd is not None},
    )


def _listener(held: HeldListener) -> Listener:
    shards = [socket.socket(fileno=fd) for fd in held.fds]
    for shard in shards:
        shard.setblocking(False)
    return Listener(held.name, parse_bind(held.address), held.backlog, shards)


def take_ledger(handover: Handover, segment: Segment) -> Ledger:
    """Go on counting. The row is still ours: this is the same process."""
    ledger = Ledger(segment.row(handover.master_row), name=handover.name, started_at_s=handover.started_at_s)
    ledger.segment_resets = handover.segment_resets
    if not segment.knows(handover.master_row):
        ledger.move(segment)
        ledger.segment_resets += 1
    ledger.worker_restarts = dict(handover.worker_restarts)
    ledger.reload_failures = handover.reload_failures
    ledger.operations = Operations(handover.operations)
    return ledger


def take_crew(handover: Handover, selector: selectors.BaseSelector) -> Crew:
    """Take up the channels to the children that go on running."""
    crew = Crew(selector)
    channels = {held.pid: held.channel_fd for held in handover.workers if held.channel_fd is not None}
    channels |= {held.pid: held.channel_fd for held in handover.admins}
    for pid, fd in channels.items():
        crew.adopt(pid, Channel.from_fd(fd))
    return crew


def take_fleet(handover: Handover, fleet: Fleet, generations: Mapping[int, Generation]) -> Fleet:
    """Put the running workers into a fleet that is to replace them."""
    workers = tuple(
        Worker(
            pid=held.pid,
            slot=held.slot,
            generation=held.generation,
            row=held.row,
            core=held.core,
            state=State(held.state),
            since_s=held.since_s,
            spawned_s=held.spawned_s,
            drain_timeout_s=generations[held.generation].drain_timeout_s,
            is_killed=held.is_killed,
            can_take=held.can_take,
            silent_since_s=held.silent_since_s,
        )
        for held in handover.workers
    )
    return replace(fleet, workers=workers)


def take_generations(handover: Handover) -> dict[int, Generation]:
    """List the generations whose workers run on. They cannot be started any more."""
    return {
        held.number: Generation(
            number=held.number,
            addresses=frozenset(held.addresses),
            drain_timeout_s=held.drain_timeout_s,
            access_file=AccessFile(held.access_path) if held.access_path else None,
        )
        for held in handover.generations
    }


def take_members(handover: Handover, segment: Segment) -> Members:
    """Remember what names stand for, so that new workers need not wait for it."""
    found = {(held.upstream, held.server): held.found for held in handover.names}
    return Members(segment.series, found)


def take_lent(handover: Handover) -> dict[Shard, frozenset[int]]:
    """Remember who accepts on what."""
    return {(held.address, held.index): frozenset(held.pids) for held in handover.shards}
