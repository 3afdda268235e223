"""
The process that watches the code: `penstock: reloader`.

It tells the master what has changed, and nothing else; the kernel ends it with the master.
"""

import atexit
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.master.reloader.burst import Burst
from penstock.master.reloader.bytecode import forget_compiled
from penstock.master.reloader.plan import WatchPlan
from penstock.master.reloader.sieve import Sieve
from penstock.master.reloader.survey import DIRECTORIES_MAX, FILES_MAX, Survey
from penstock.worker.channel import Channel, ChannelClosed, ChannelFull
from penstock.worker.child import MasterGone, settle
from penstock.worker.logs import LOG
from penstock.worker.messages import Changed, encode

# How often it is looked where no event tells of changes: as often as uvicorn does.
POLL_S = 0.25
# A look that takes long is made less often, so that it costs a tenth of a core at most.
POLL_SHARE = 0.1
# Single files are looked at so often: an event tells of a directory, and theirs may be huge.
FILES_POLL_S = 0.5
# How often the library that waits for events looks for some.
STEP_S = 0.05

# As many names as fit on a line.
SHOWN_MAX = 3

# Waits for something to have changed, at most so long, and lists it.
Wait = Callable[[float], list[str]]


@dataclass(frozen=True, kw_only=True)
class ReloaderAssignment:
    """What the master gives the reloader at the fork."""

    name: str
    master_pid: int
    channel: Channel
    plan: WatchPlan
    since_ns: int  # The code of the workers was read after this, in wall-clock time.
    uid: int | None
    gid: int | None


def run_reloader(assignment: ReloaderAssignment) -> int:
    """Live the reloader's life, and return its exit status."""
    atexit._clear()  # What a preloaded app has registered is for the processes that host it.
    # A TERM to the whole group is the master's to answer.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        settle(
            title=f"penstock: reloader [{assignment.name}]",
            uid=assignment.uid,
            gid=assignment.gid,
            groups=(),
            master_pid=assignment.master_pid,
        )
    except MasterGone:
        return 0
    try:
        _watch(assignment)
    except ChannelClosed:
        pass
    return 0


def _watch(assignment: ReloaderAssignment) -> None:
    plan = assignment.plan
    sieve = Sieve(plan)
    # First the events, then the look: what changes in between is seen twice rather than never.
    events = None if plan.polls else _events(plan)
    survey = Survey(plan, sieve)
    if survey.is_cut:
        LOG.warning(
            "reload: more than %d files or %d directories; the rest is not watched: say --reload-dir",
            FILES_MAX,
            DIRECTORIES_MAX,
        )
    wait = _polling(survey) if events is None else _hearing(events, survey, sieve)
    burst = Burst(plan.delay_s)
    burst.note(survey.newer(assignment.since_ns, time.time_ns()), time.monotonic())
    while True:
        due_s = burst.due_s
        pause_s = FILES_POLL_S if due_s is None else due_s - time.monotonic()
        burst.note(wait(max(0.0, min(pause_s, FILES_POLL_S))), time.monotonic())
        paths, count = burst.take(time.monotonic())
        if paths:
            forget_compiled(paths)
            _tell(assignment.channel, Changed(tuple(sorted(map(_shown, paths))[:SHOWN_MAX]), count))


def _polling(survey: Survey) -> Wait:
    looked_s = 0.0

    def wait(seconds: float) -> list[str]:
        nonlocal looked_s
        time.sleep(max(min(seconds, POLL_S), looked_s / POLL_SHARE))
        began_s = time.monotonic()
        changes = survey.changes()
        looked_s = time.monotonic() - began_s
        return changes

    return wait


# Waits for so long, and gives the paths that there were events of, with whether it may be a directory.
Events = Callable[[float], set[str]]


def _events(plan: WatchPlan) -> Events | None:
    """Begin to hear of changes; None if that cannot be."""
    try:
        from watchfiles import _rust_notify  # noqa: PLC0415 (only this process needs it)

        notify = _rust_notify.RustNotify(
            [root for root in plan.roots if Path(root).is_dir()], False, False, 0, True, True
        )
    except Exception as error:
        # No library, no room for more watches, a file system without events.
        LOG.warning("reload: cannot watch by kernel events (%s); polling instead", error)
        return None

    def hear(seconds: float) -> set[str]:
        # A timeout of 0 would be for ever.
        timeout_ms = max(1, int(seconds * 1000))
        heard = notify.watch(int(STEP_S * 1000) * 2, int(STEP_S * 1000), timeout_ms, None)
        return set() if isinstance(heard, str) else {path for _, path in heard}

    return hear


def _hearing(events: Events, survey: Survey, sieve: Sieve) -> Wait:
    def wait(seconds: float) -> list[str]:
        heard = events(seconds)
        if any(_concerns(path, survey, sieve) for path in heard):
            return survey.changes()
        return survey.changed_files()

    return wait


def _concerns(path: str, survey: Survey, sieve: Sieve) -> bool:
    """Tell whether it is worth looking: a file that counts, or a directory that came or went with some."""
    return sieve.wants(path) or (sieve.reaches(path) and Path(path).is_dir()) or survey.holds(path)


def _tell(channel: Channel, message: Changed) -> None:
    try:
        channel.send(encode(message))
    except ChannelFull:
        pass  # It has been told often enough.


def _shown(path: str) -> str:
    """Write a path as a person would."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
