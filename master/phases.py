"""
The states that the master is in, and what may follow what.

They are not kept but seen: in what the fleet is, and whether new code is being
checked. The table says which changes make sense; another one is our bug.
"""

from collections.abc import Mapping

from penstock.shm.row import State

MOVES: Mapping[State, frozenset[State]] = {
    # Nothing has served yet.
    State.STARTING: frozenset({State.RUNNING, State.DRAINING}),
    State.RUNNING: frozenset({State.ROLLING, State.UPGRADING, State.DRAINING}),
    # Done or given up, or the check of a hot restart has begun beside it.
    State.ROLLING: frozenset({State.RUNNING, State.UPGRADING, State.DRAINING}),
    # The check has failed. If it passes this image ends, and the next one begins by rolling.
    State.UPGRADING: frozenset({State.RUNNING, State.ROLLING, State.DRAINING}),
    State.DRAINING: frozenset(),
}

# How an image begins: the first one, or one that takes over in a hot restart; it is running at once
# if it cannot read the configuration.
FIRST = frozenset({State.STARTING, State.ROLLING, State.RUNNING})


def phase(*, is_leaving: bool, is_checking: bool, has_served: bool, is_rolling: bool) -> State:
    """Name the state that all this makes: the first of them that holds."""
    if is_leaving:
        return State.DRAINING
    if is_checking:
        return State.UPGRADING
    if not has_served:
        return State.STARTING
    return State.ROLLING if is_rolling else State.RUNNING


def is_sound(before: State | None, after: State) -> bool:
    """Whether one may follow the other; `None` is before the first."""
    if before is None:
        return after in FIRST | {State.DRAINING}
    return after == before or after in MOVES[before]
