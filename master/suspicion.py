"""
Which workers have fallen silent.

A worker stamps its row from inside its loop, so a stamp that gets old means
that the loop is blocked. Pure: stamps, limits and the time go in; verdicts and
the moment of the next look come out, which lies as late as the stamps allow.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# One that is late is doubted for so long before it is a suspect. What stood still together with the
# master (a container that was frozen, a machine without a core to spare) gets the time to beat first.
DOUBT_S = 0.05

# A master that slept longer than it meant to, by this share of the limit, stood still itself: it has
# seen no silence in that time, and begins to count anew.
OVERSLEPT_SHARE = 0.5

# How often a suspect is looked at: as often as it would beat. One that recovers wakes nobody.
SUSPECT_LOOK_S = 0.25

# When there is nobody to look at.
IDLE_LOOK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """After how much silence a worker is suspect, and is replaced. 0 is never."""

    suspect_s: float
    replace_s: float

    @property
    def silence_s(self) -> float:
        """The silence that makes a suspect. Who is to be replaced is one before that."""
        return min((limit_s for limit_s in (self.suspect_s, self.replace_s) if limit_s > 0), default=math.inf)


@dataclass(frozen=True, kw_only=True)
class Heart:
    """One worker that should beat. Times are of the monotonic clock."""

    pid: int
    stamp_s: float  # its last beat
    silent_since_s: float | None = None  # of a suspect: the last beat before it became one
    is_ready: bool = True  # it serves; a suspect that drains may still recover


@dataclass(frozen=True)
class Doubt:
    """Somebody who was late at an earlier look."""

    stamp_s: float
    since_s: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What is remembered from one look to the next."""

    next_s: float  # when to look again
    awake_since_s: float  # since then the master has been awake whenever it meant to be
    doubts: Mapping[int, Doubt] = field(default_factory=dict)  # by pid

    @classmethod
    def fresh(cls, now_s: float) -> "Memory":
        """Begin to watch."""
        return cls(next_s=now_s, awake_since_s=now_s)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What a look has found out."""

    suspects: Mapping[int, float] = field(default_factory=dict)  # new ones by pid: silent since when
    recovered: Mapping[int, float] = field(default_factory=dict)  # by pid: for how long it was silent
    overdue: frozenset[int] = frozenset()  # suspects that are to be replaced


def look(
    memory: Memory, hearts: Iterable[Heart], patience: Patience, now_s: float
) -> tuple[Verdicts, Memory]:
    """Judge all hearts at this moment, and say what to remember. The next look lies in the future."""
    limit_s = patience.silence_s
    has_overslept = now_s - memory.next_s > OVERSLEPT_SHARE * limit_s
    awake_since_s = now_s if has_overslept else memory.awake_since_s
    suspects: dict[int, float] = {}
    recovered: dict[int, float] = {}
    overdue: set[int] = set()
    doubts: dict[int, Doubt] = {}
    times = [now_s + IDLE_LOOK_S]
    for heart in hearts:
        # Nothing is known of the time before that.
        heard_s = max(heart.stamp_s, awake_since_s)
        silent_since_s = heart.silent_since_s
        if silent_since_s is not None:
            if limit_s == math.inf:
                recovered[heart.pid] = max(0.0, now_s - silent_since_s)
            elif heart.stamp_s > silent_since_s and now_s - heart.stamp_s < limit_s:
                recovered[heart.pid] = heart.stamp_s - silent_since_s
            else:
                times.append(now_s + SUSPECT_LOOK_S)
                if heart.is_ready and 0 < patience.replace_s <= now_s - heard_s:
                    overdue.add(heart.pid)
        elif not heart.is_ready or limit_s == math.inf:
            continue
        elif now_s < heard_s + limit_s:
            times.append(heard_s + limit_s)
        else:
            doubt = memory.doubts.get(heart.pid)
            if doubt is None or doubt.stamp_s != heart.stamp_s:
                doubt = Doubt(heart.stamp_s, now_s)
            if now_s < doubt.since_s + DOUBT_S:
                doubts[heart.pid] = doubt
                times.append(doubt.since_s + DOUBT_S)
            else:
                suspects[heart.pid] = heart.stamp_s or awake_since_s
                times.append(now_s + SUSPECT_LOOK_S)
    verdicts = Verdicts(suspects=suspects, recovered=recovered, overdue=frozenset(overdue))
    return verdicts, Memory(next_s=min(times), awake_since_s=awake_since_s, doubts=doubts)
