"""
Whether what an upstream says of balancing makes sense together.

Pure. Gives the key and what is wrong there; judge.py knows where it stands.
"""

from collections.abc import Iterator

from penstock.master.config.upstream import Upstream


def faults_of(upstream: Upstream) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give each key that does not go with the others, and what was expected."""
    is_hashed = upstream.balance == "consistent_hash"
    if is_hashed and upstream.hash is None:
        yield ("balance",), "found 'consistent_hash' without 'hash', expected hash: {by: ...} beside it"
    if upstream.hash is not None and not is_hashed:
        yield ("hash",), f"found 'hash' with balance: {upstream.balance}, expected balance: consistent_hash"
    if not any(each.weight and not each.backup for each in upstream.each_server()):
        told = "found no server for the usual case, expected one with a weight above 0 that is no backup"
        yield ("servers",), told
    sticky = upstream.sticky
    if sticky is None:
        return
    if sticky.ttl_s is not None and sticky.ttl_s < 1:
        yield ("sticky", "ttl"), "found less than a second, expected none or 1s at least"
    if sticky.same_site == "none" and not sticky.secure:
        told = "found 'none' without 'secure: true', expected both: browsers drop such a cookie else"
        yield ("sticky", "same_site"), told
