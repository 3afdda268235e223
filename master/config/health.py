"""
Health checks of an upstream's servers, as the operator writes them.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, HeaderName, HeaderValue, Record, says
from penstock.master.watched import HealthSettings

# More in a row is a mistake: at the usual pace a server would be asked for a day before it counts.
CHECKS_MAX = 10_000

# What only a check that asks for something can have.
HTTP_KEYS = ("path", "method", "host", "headers", "status")


class HealthCheck(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask servers how they are, whether or not there are requests for them."""

    type: Annotated[
        Literal["http", "tcp"], says("http: a request is answered. tcp: a connection is accepted.")
    ] = "http"
    path: Annotated[Annotated[str, kind("target")], says("What is asked for.")] = "/"
    method: Annotated[Literal["GET", "HEAD", "OPTIONS"], says("The method of the request.")] = "GET"
    host: Annotated[HeaderValue | None, says("Its Host. Default: the server's name, or its address.")] = None
    headers: Annotated[dict[HeaderName, HeaderValue], says("More headers of the request.")] = field(
        default_factory=dict
    )
    status: Annotated[
        tuple[Annotated[str, kind("status_span")], ...],
        Meta(min_length=1),
        says("Statuses of those that are well: 204, 200-299."),
    ] = ("200-299",)
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, says("Another port than that of the requests.")
    ] = None
    every_s: Annotated[Duration, says("From one check of a server to the next.")] = field(
        default=5.0, name="every"
    )
    timeout_s: Annotated[Duration, says("How long a server may take for one.")] = field(
        default=2.0, name="timeout"
    )
    unhealthy_after: Annotated[
        int, Meta(ge=1, le=CHECKS_MAX), says("Failed checks in a row, before it gets no requests.")
    ] = 3
    healthy_after: Annotated[
        int, Meta(ge=1, le=CHECKS_MAX), says("Passed checks in a row, before it gets requests again.")
    ] = 2

    def settings(self) -> HealthSettings:
        """Write it as the admin process is told."""
        by_name = {name.lower(): (name, value) for name, value in self.headers.items()}
        return HealthSettings(
            type=self.type,
            method=self.method,
            path=self.path,
            host=self.host,
            headers=tuple(by_name.values()),
            status=tuple(span(each) for each in self.status),
            port=self.port,
            every_s=self.every_s,
            timeout_s=self.timeout_s,
            unhealthy_after=self.unhealthy_after,
            healthy_after=self.healthy_after,
        )


def span(text: str) -> tuple[int, int]:
    """Take a span of statuses apart that was read."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def is_host(value: str) -> bool:
    """Tell whether a Host header may look like this."""
    return re.fullmatch(r"[!-~]{1,255}", value) is not None
