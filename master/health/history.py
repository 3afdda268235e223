"""
What is to be thought of a server after a check, and when the next one is due.

Pure: results, settings, chances in, a verdict out.
"""

from dataclasses import dataclass
from typing import Final

from penstock.master.watched import HealthSettings
from penstock.shm.verdict import Verdict
from penstock.worker.limits import HEALTH_FIRST_S

# Checks of many servers, and of many machines, are not to come in step.
JITTER: Final = 0.1


@dataclass(frozen=True)
class History:
    """What is thought of a server, and how many results in a row have said otherwise since."""

    verdict: Verdict = Verdict.UNKNOWN
    against: int = 0


def after_check(history: History, *, has_passed: bool, settings: HealthSettings) -> History:
    """
    Judge a server by one more result.

    A server that nothing is known of is well after the first check that it
    passes, and unwell after as many failures as any other.
    """
    said = Verdict.HEALTHY if has_passed else Verdict.UNHEALTHY
    if said is history.verdict:
        return History(said)
    against = history.against + 1 if history.verdict is not Verdict.UNKNOWN or not has_passed else 0
    if against >= needed(history.verdict, said, settings):
        return History(said)
    return History(history.verdict, against)


def needed(before: Verdict, said: Verdict, settings: HealthSettings) -> int:
    """Tell how many results in a row it takes to think otherwise."""
    if said is Verdict.UNHEALTHY:
        return settings.unhealthy_after
    return 0 if before is Verdict.UNKNOWN else settings.healthy_after


def first_pause_s(settings: HealthSettings, chance: float) -> float:
    """Tell how long the first check of a server waits, so that those of many servers are spread."""
    return chance * JITTER * min(settings.every_s, HEALTH_FIRST_S)


def pause_s(history: History, settings: HealthSettings, chance: float) -> float:
    """Tell how long it is from the beginning of a check to that of the next. `chance` is 0 to 1."""
    every_s = settings.every_s
    if history.verdict is Verdict.UNKNOWN:
        every_s = min(every_s, HEALTH_FIRST_S)
    return every_s * (1 + JITTER * (chance - 0.5))
