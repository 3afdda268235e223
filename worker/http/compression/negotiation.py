"""
Which content coding a client prefers (RFC 9110, section 12.5.3).

Pure: the value of Accept-Encoding goes in, a choice comes out. What is malformed
counts for nothing, and a response is never refused for it.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from penstock.worker.limits import ACCEPT_ENCODING_BYTES_MAX

_MEMBER = re.compile(
    rb"[ \t]*(\*|[!#$%&'*+\-.^_`|~0-9A-Za-z]+)"
    rb"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)

# The names that old clients use (RFC 9110, section 8.4.1.3).
_ALIASES = {"x-gzip": "gzip"}


class Choice(NamedTuple):
    """What a response should be coded with; None: nothing."""

    coding: str | None
    # The client takes anything rather than what is not coded.
    refuses_identity: bool = False


AS_IT_IS = Choice(None)


def choose(accepted: bytes | None, offered: Sequence[str]) -> Choice:
    """
    Choose among the codings that are offered, the one preferred by us first.

    A client that says nothing gets no coding: it may be one that knows none. When it
    refuses everything, also the response as it is, it gets that all the same.
    """
    if not accepted or len(accepted) > ACCEPT_ENCODING_BYTES_MAX:
        return AS_IT_IS
    weights = parse_weights(accepted)
    of_others = weights.get("*")
    chosen, best = None, 0.0
    for name in offered:
        weight = weights.get(name, of_others) or 0.0
        if weight > best:
            chosen, best = name, weight
    of_identity = weights.get("identity")
    if of_identity is None:
        return Choice(chosen, refuses_identity=of_others == 0.0)
    return Choice(chosen if of_identity <= best else None, refuses_identity=of_identity == 0.0)


def parse_weights(accepted: bytes) -> dict[str, float]:
    """Return the weight of each coding that is named well; named twice, the first counts."""
    weights: dict[str, float] = {}
    for member in accepted.split(b","):
        match = _MEMBER.fullmatch(member)
        if match is not None:
            name = match[1].decode().lower()
            weights.setdefault(_ALIASES.get(name, name), 1.0 if match[2] is None else float(match[2]))
    return weights
