"""What the end of a worker means."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.master.fleet import Fleet, State, Worker
from penstock.master.obituary import (
    RESTART_REASONS,
    Meaning,
    Obituary,
    Setback,
    is_roll_hopeless,
    judge_boot_failure,
    judge_death,
)

READY = Worker(pid=1, slot=0, generation=1, row=1, core=None, state=State.READY, since_s=0.0, spawned_s=0.0)
FLEET = Fleet(slot_count=1, generation=1, workers=(READY,), has_served=True)
KILLED, FINE = 9, 0


@pytest.mark.parametrize(
    ("state", "reason", "status", "expected"),
    [
        (State.READY, None, KILLED, Obituary(Meaning.CRASH, "crash")),
        (State.READY, None, FINE, Obituary(Meaning.CRASH, "exit")),
        (State.STARTING, None, FINE, Obituary(Meaning.BOOT_FAILURE, "boot_failure")),
        (State.STARTING, "starting for too long", KILLED, Obituary(Meaning.BOOT_FAILURE, "boot_failure")),
        (State.STARTING, "roll", KILLED, Obituary(Meaning.SUPERSEDED)),
        (State.STARTING, "scale", KILLED, Obituary(Meaning.WANTED)),
        (State.DRAINING, "roll", FINE, Obituary(Meaning.REPLACED, "roll")),
        (State.DRAINING, "term", FINE, Obituary(Meaning.REPLACED, "term")),
        (State.DRAINING, "draining for too long", KILLED, Obituary(Meaning.REPLACED, "timeout")),
        (State.DRAINING, "scale", FINE, Obituary(Meaning.WANTED)),
    ],
)
def test_a_death_is_judged_by_what_the_worker_was_doing(
    state: State, reason: str | None, status: int, expected: Obituary
) -> None:
    """The same exit status is a success or a catastrophe."""
    worker = replace(READY, state=state)

    assert judge_death(FLEET, worker, reason=reason, status=status) == expected
    assert expected.restart_reason in {*RESTART_REASONS, None}


def test_every_reason_is_documented() -> None:
    """The table says what each means, and names none that there is not."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = page.partition("| `reason` | the worker |")[2].partition("\n\n")[0]
    first_columns = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]

    assert set(re.findall(r"`(\w+)`", "".join(first_columns))) == RESTART_REASONS


def test_while_stopping_every_death_is_wanted() -> None:
    """Nobody is replaced any more, so nobody has crashed."""
    stopping = replace(FLEET, is_stopping=True)

    assert judge_death(stopping, READY, reason=None, status=KILLED) == Obituary(Meaning.WANTED)


def test_a_roll_is_hopeless_until_one_of_its_workers_has_served() -> None:
    """After that the new code is known to start, and one failure is bad luck."""
    rolling = replace(FLEET, generation=2, is_rolling=True)

    assert is_roll_hopeless(rolling)
    assert not is_roll_hopeless(replace(rolling, workers=(READY, replace(READY, pid=2, generation=2))))
    assert not is_roll_hopeless(FLEET)


def test_a_worker_that_cannot_start_ends_what_never_served_unless_one_develops() -> None:
    """The first error of a server is told and over; that of somebody at a keyboard is mended."""
    fresh = replace(FLEET, has_served=False)

    assert judge_boot_failure(fresh) is Setback.END
    assert judge_boot_failure(replace(fresh, is_watched=True)) is Setback.HOLD
    assert judge_boot_failure(FLEET) is Setback.RETRY
    assert judge_boot_failure(replace(FLEET, is_watched=True)) is Setback.RETRY
