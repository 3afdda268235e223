"""
How the names of upstream servers are looked up, as the operator writes it.
"""

from typing import Annotated, Literal

from msgspec import field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says
from penstock.master.watched import ResolveSettings


class Resolve(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the names of servers are looked up, and how often."""

    nameservers: Annotated[
        tuple[Annotated[str, kind("nameserver")], ...],
        says("Name servers to ask, address or address:port. Default: those of /etc/resolv.conf."),
    ] = ()
    min_ttl_s: Annotated[Duration, says("An answer holds for at least so long, whatever it says.")] = field(
        default=1.0, name="min_ttl"
    )
    max_ttl_s: Annotated[Duration, says("An answer holds for at most so long.")] = field(
        default=300.0, name="max_ttl"
    )
    timeout_s: Annotated[Duration, says("How long a look-up may take.")] = field(default=5.0, name="timeout")
    family: Annotated[
        Literal["auto", "ipv4", "ipv6", "both"],
        says("Which addresses count; auto: those of IPv4, and of IPv6 where there are no others."),
    ] = "auto"

    def settings(self) -> ResolveSettings:
        """Write it as the admin process is told."""
        return ResolveSettings(
            nameservers=self.nameservers,
            min_ttl_s=self.min_ttl_s,
            max_ttl_s=self.max_ttl_s,
            timeout_s=self.timeout_s,
            family=self.family,
        )
