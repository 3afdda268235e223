"""
What ends a test that takes too long: an exception that an event loop passes on.

pytest-timeout raises one of its own from its signal. asyncio logs that one as the
trouble of whatever callback was running, uvloop always does so, and the test waits
on. SystemExit ends both.
"""

import signal
from typing import Any

import pytest

# A test may still be in a `finally` of its own that waits. It is told again.
AGAIN_S = 20.0


class TookTooLong(SystemExit):
    """The test's time is over."""


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool:
    """Set an alarm, in place of pytest-timeout's. `faulthandler_timeout` has told all stacks before."""

    def end(*_: object) -> None:
        raise TookTooLong(f"the test took longer than {settings.timeout:g} s")

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # What pytest-timeout calls.
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN_S)
    return True
