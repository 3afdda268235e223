"""
What is to be done when servers of an upstream fail, as the operator wants it.

The master fills it in; nothing here decides anything.
"""

from typing import Final

import msgspec

# Why an attempt failed. There was no connection, so the server has seen nothing of the request:
CONNECT: Final = "connect"
# the connection ended or broke, or what came was no response;
CLOSED: Final = "closed"
# the server took too long.
TIMEOUT: Final = "timeout"

# By the place of a failure's reason in the numbers of a server; an overload is no failure of it.
CAUSE_OF: Final = (CONNECT, CONNECT, CLOSED, TIMEOUT, CLOSED)


class RetryRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a request is sent another time."""

    causes: frozenset[str] = frozenset({CONNECT, CLOSED, TIMEOUT})
    statuses: frozenset[int] = frozenset({502, 503, 504})
    non_idempotent: bool = False
    budget: float = 0.2  # of the requests of the last seconds


class EjectionRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a server is taken out of service for its failures, and for how long."""

    consecutive_failures: int = 5
    base_s: float = 30.0
    most_s: float = 300.0
    ratio_max: float = 0.5  # of the servers


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When an upstream as a whole is spared."""

    requests_max: int | None = None  # at once, in one worker
    failure_ratio: float | None = 0.5
    requests_min: int = 20
    window_s: float = 10.0
    open_s: float = 5.0
    probes: int = 3
