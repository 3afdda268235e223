"""
What is done when servers of an upstream fail: timeouts, retries, ejection and the breaker.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says

Ratio = Annotated[float, kind("ratio")]

ATTEMPTS_MAX = 10
FAILURES_MAX = 1000
REQUESTS_MAX = 1_000_000
PROBES_MAX = 100


class Timeouts(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a server may take; beyond: 504, or the next server."""

    connect_s: Annotated[Duration, says("To accept a connection.")] = field(default=3.0, name="connect")
    send_s: Annotated[Duration, says("To take the next bytes of the request.")] = field(
        default=60.0, name="send"
    )
    first_byte_s: Annotated[Duration, says("From the whole request to the head of the response.")] = field(
        default=30.0, name="first_byte"
    )
    idle_s: Annotated[Duration, says("Between two pieces of the response.")] = field(
        default=60.0, name="idle"
    )
    tunnel_idle_s: Annotated[Duration, says("In a tunnel, such as a WebSocket, in which nothing moves.")] = (
        field(default=3600.0, name="tunnel_idle")
    )
    total_s: Annotated[
        Duration | None,
        says("From the head of the request to the end of the response, retries included. Default: any time."),
    ] = field(default=None, name="total")


Cause = Literal["connect", "closed", "timeout", 500, 502, 503, 504]


class Retries(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a request is sent another time: only if nothing can happen twice."""

    attempts: Annotated[int, Meta(ge=0, le=ATTEMPTS_MAX), says("How many times beside the first.")] = 1
    on: Annotated[
        tuple[Cause, ...],
        says("After which failures: no connection, one that broke, no answer in time, these statuses."),
    ] = ("connect", "closed", "timeout", 502, 503, 504)
    budget: Annotated[
        Ratio,
        says("At the most so many of the requests of the last 10 seconds; three are free."),
    ] = 0.2
    non_idempotent: Annotated[
        bool, says("Also POST and the other methods that may do something each time.")
    ] = False


class Breaker(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an upstream as a whole is spared: requests are answered with 503 at once."""

    requests_max: Annotated[
        Annotated[int, Meta(ge=1, le=REQUESTS_MAX)] | None,
        says("So many requests at once, in one worker; beyond: 503. Default: any number."),
    ] = None
    failure_ratio: Annotated[
        Ratio | None, says("It opens when so many of the last attempts have failed; none: never.")
    ] = 0.5
    requests_min: Annotated[
        int, Meta(ge=1, le=REQUESTS_MAX), says("And there were so many of them at the least.")
    ] = 20
    window_s: Annotated[Duration, says("In so long a time.")] = field(default=10.0, name="window")
    open_time_s: Annotated[Duration, says("How long requests are refused then.")] = field(
        default=5.0, name="open_time"
    )
    probes: Annotated[
        int, Meta(ge=1, le=PROBES_MAX), says("So many go through then, and if all work, the rest as well.")
    ] = 3


class Ejection(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a server is put out of service for its failures, and for how long."""

    consecutive_failures: Annotated[
        int, Meta(ge=1, le=FAILURES_MAX), says("How many in a row, in one worker.")
    ] = 5
    base_time_s: Annotated[Duration, says("For how long, the first time; each time so much longer.")] = field(
        default=30.0, name="base_time"
    )
    max_time_s: Annotated[Duration, says("For how long at the most.")] = field(default=300.0, name="max_time")
    max_ejected: Annotated[Ratio, says("How many of the servers at once, rounded up; one always stays.")] = (
        0.5
    )
