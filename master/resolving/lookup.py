"""
Looks one name up: /etc/hosts first, then DNS, by dnspython.

getaddrinfo would do the same and not say for how long an answer holds.
"""

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from penstock.master.resolving.answer import Answer, NotFound, Service, of_addresses, of_services
from penstock.master.resolving.hosts import HostsFile
from penstock.master.watched import ResolveSettings
from penstock.worker.limits import HOSTS_AGAIN_S, LOOKUP_TARGETS_MAX
from penstock.worker.messages import Found

# Families in the order in which they are asked for; "auto" stops at the first that has addresses.
_FAMILIES = {"auto": ("A", "AAAA"), "both": ("A", "AAAA"), "ipv4": ("A",), "ipv6": ("AAAA",)}


class Lookup:
    """Looks names up, by the settings of an upstream."""

    def __init__(self, settings: ResolveSettings, hosts: HostsFile) -> None:
        self._settings = settings
        self._hosts = hosts

    async def find(self, server: str) -> Answer:
        """Find the servers that one which was configured by its name stands for. Raises NotFound."""
        if server.startswith("srv:"):
            return await self._service(server.removeprefix("srv:"))
        host, _, port = server.rpartition(":")
        if self._hosts.knows(host):
            # As it is: whoever connects tries all addresses that stand there.
            return Answer((Found(server),), HOSTS_AGAIN_S)
        addresses, ttl_s = await self._addresses(host)
        return Answer(of_addresses(addresses, int(port)), ttl_s)

    async def _service(self, name: str) -> Answer:
        answer = await self._ask(name, "SRV")
        services = [
            Service(each.priority, each.weight, each.port, each.target.to_text(omit_final_dot=True).lower())
            for each in answer.rrset or ()
            if each.port
        ]
        # "." is what a service that is not there has for a target (RFC 2782).
        targets = sorted({each.target for each in services} - {"", "."})[:LOOKUP_TARGETS_MAX]
        results = await asyncio.gather(*map(self._target, targets), return_exceptions=True)
        ttl_s = _ttl_s(answer)
        addresses: dict[str, Sequence[str]] = {}
        failure: BaseException | None = None
        for target, result in zip(targets, results, strict=True):
            if isinstance(result, BaseException):
                failure = result
            else:
                addresses[target], target_ttl_s = result
                ttl_s = min(ttl_s, target_ttl_s)
        if failure is not None and not isinstance(failure, NotFound):
            raise failure
        found = of_services(services, addresses)
        if not found:
            raise NotFound(str(failure) if failure else "it has no servers")
        return Answer(found, ttl_s)

    async def _target(self, name: str) -> tuple[Sequence[str], float]:
        if self._hosts.knows(name):
            return await self._from_hosts(name), HOSTS_AGAIN_S
        return await self._addresses(name + ".")

    async def _from_hosts(self, name: str) -> Sequence[str]:
        """Ask the system, which looks into the file first."""
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(name, None, type=1)
        except OSError as error:
            raise NotFound(error.strerror or str(error)) from None
        return [str(info[4][0]) for info in infos]

    async def _addresses(self, name: str) -> tuple[Sequence[str], float]:
        found: list[str] = []
        ttl_s = self._settings.max_ttl_s
        failure: NotFound | None = None
        for kind in _FAMILIES[self._settings.family]:
            try:
                answer = await self._ask(name, kind)
            except NotFound as error:
                failure = failure or error
                continue
            addresses = [each.address for each in answer.rrset or ()]
            if addresses:
                found += addresses
                ttl_s = min(ttl_s, _ttl_s(answer))
                if self._settings.family == "auto":
                    break
        if not found:
            raise failure or NotFound("it has no address")
        return found, ttl_s

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        try:
            return await self._resolver().resolve(
                name, kind, search=True, raise_on_no_answer=False, lifetime=self._settings.timeout_s
            )
        except dns.resolver.NXDOMAIN:
            raise NotFound("there is no such name") from None
        except dns.exception.Timeout:
            raise NotFound(f"no name server answered within {self._settings.timeout_s:g} s") from None
        except dns.exception.DNSException as error:
            raise NotFound(" ".join(str(error).split()) or type(error).__name__) from None
        except OSError as error:
            raise NotFound(error.strerror or str(error)) from None

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Make a resolver anew: /etc/resolv.conf may have changed, and to read it takes a moment."""
        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            if not self._settings.nameservers:
                raise
            resolver = dns.asyncresolver.Resolver(configure=False)
        if self._settings.nameservers:
            resolver.nameservers = [_nameserver(each) for each in self._settings.nameservers]
        return resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    host, _, port = text.rpartition(":")
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))


def _ttl_s(answer: dns.resolver.Answer) -> float:
    """Tell how long an answer holds, with all the names that it went through."""
    return float(answer.chaining_result.minimum_ttl)
