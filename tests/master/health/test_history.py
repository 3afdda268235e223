"""What is thought of a server after a check."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.health.history import History, after_check, first_pause_s, pause_s
from penstock.master.watched import HealthSettings
from penstock.shm.verdict import Verdict

SETTINGS = HealthSettings(unhealthy_after=3, healthy_after=2)


def judged(results: str, settings: HealthSettings = SETTINGS, before: Verdict = Verdict.UNKNOWN) -> str:
    """Write down what is thought after each result: "+" is a check that was passed."""
    history, thoughts = History(before), ""
    for result in results:
        history = after_check(history, has_passed=result == "+", settings=settings)
        thoughts += history.verdict.name[0].lower() if history.verdict is not Verdict.UNKNOWN else "?"
    return thoughts


def test_it_takes_several_failures_in_a_row() -> None:
    """
    One lost packet is no reason to do without a server.
    """
    assert judged("+--+--+---") == "hhhhhhhhhu"


def test_it_takes_several_successes_to_come_back() -> None:
    """
    A server that comes and goes is not one to rely on.
    """
    assert judged("+---+-+-++") == "hhhuuuuuuh"


def test_the_first_success_is_believed() -> None:
    """
    Nothing speaks against the server; and nobody else may be there.
    """
    assert judged("+") == "h"
    assert judged("--+") == "??h"
    assert judged("---") == "??u"


def test_what_a_predecessor_found_holds() -> None:
    """
    A server that is out stays out, until it has passed as often as any other.
    """
    assert judged("++", before=Verdict.UNHEALTHY) == "uh"
    assert judged("---", before=Verdict.HEALTHY) == "hhu"


@given(st.text("+-"), st.integers(1, 5), st.integers(1, 5))
def test_it_is_the_last_results_that_count(results: str, down: int, up: int) -> None:
    """
    Against the rule as one would say it: so many in a row of the other kind.
    """
    settings = HealthSettings(unhealthy_after=down, healthy_after=up)
    verdict, told = "?", ""
    for end in range(1, len(results) + 1):
        seen = results[:end]
        if (verdict == "?" and seen.endswith("+")) or (verdict == "u" and seen.endswith("+" * up)):
            verdict = "h"
        elif verdict != "u" and seen.endswith("-" * down):
            verdict = "u"
        told += verdict
    assert judged(results, settings) == told


@given(st.floats(0, 1), st.floats(0.1, 3600))
def test_checks_come_about_as_often_as_they_are_to(chance: float, every_s: float) -> None:
    """
    Never all at once; and of a new server one wants to know soon.
    """
    settings = HealthSettings(every_s=every_s)
    assert every_s * 0.94 <= pause_s(History(Verdict.HEALTHY), settings, chance) <= every_s * 1.06
    assert pause_s(History(), settings, chance) <= min(every_s, 1.0) * 1.06
    assert 0 <= first_pause_s(settings, chance) <= 0.1
