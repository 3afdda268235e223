"""
The PROXY protocol of a listener: who begins with its header, and what becomes of those who do not.
"""

from typing import Annotated

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says
from penstock.worker.spec import ProxyProtocolSpec

NOBODY = "found nobody who is trusted, expected at least one proxy that sends the header"


class ProxyProtocol(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Connections of proxies that begin with a header of the PROXY protocol, version 1 or 2."""

    from_: Annotated[
        Annotated[tuple[Annotated[str, kind("trusted_proxy")], ...], Meta(min_length=1)] | None,
        says("Proxies whose connections begin with a header. Default: the listener's trusted_proxies."),
    ] = field(default=None, name="from")
    required: Annotated[
        bool, says("Close connections of all others; false: serve them as they are, and read no header.")
    ] = True
    timeout_s: Annotated[Duration, says("How long the header may take before the connection is closed.")] = (
        field(default=3.0, name="timeout")
    )

    def spec(self, trusted: tuple[str, ...], rejected: int) -> ProxyProtocolSpec:
        """Write it as the workers are told; `trusted` are the listener's proxies."""
        return ProxyProtocolSpec(
            trusted=self.from_ or trusted,
            required=self.required,
            timeout_s=self.timeout_s,
            rejected=rejected,
        )


def settled(written: ProxyProtocol | bool | None) -> ProxyProtocol | None:
    """Tell what holds: true is all the defaults."""
    return ProxyProtocol() if written is True else written or None


def fault_of(written: ProxyProtocol | bool | None, trusted: tuple[str, ...]) -> str | None:
    """Say what is wrong with it beside a listener's trusted proxies, if anything is."""
    wanted = settled(written)
    return NOBODY if wanted is not None and not (wanted.from_ or trusted) else None
