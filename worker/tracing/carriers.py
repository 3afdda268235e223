"""
Judges what a request carries of a trace: traceparent, tracestate and baggage.

Pure, and without opentelemetry, whose own readers log whatever a client sends.
What is not as W3C has it is as if it had not been sent.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from penstock.worker.limits import BAGGAGE_BYTES_MAX, BAGGAGE_MEMBERS_MAX, TRACESTATE_MEMBERS_MAX

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
BAGGAGE: Final = b"baggage"
CARRIERS: Final = frozenset((TRACEPARENT, TRACESTATE, BAGGAGE))

_IDS = rb"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
_VERSION_0 = re.compile(rb"00" + _IDS)
# A later version begins like this one, and may go on after a dash.
_LATER_VERSION = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-[!-~]*)?")
# Of the digits of the flags, those that say: sampled.
ODD: Final = frozenset(b"13579bdf")

_STATE_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_STATE_MEMBER = re.compile(rf"({_STATE_KEY})=([ -+\--<>-~]{{0,255}}[!-+\--<>-~])")

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_OCTETS = r"[!#-+\--:<-\[\]-~]*"
_BAGGAGE_MEMBER = re.compile(
    rf"({_TOKEN})[ \t]*=[ \t]*({_OCTETS}(?:[ \t]*;[ \t]*{_TOKEN}(?:[ \t]*=[ \t]*{_OCTETS})?)*)"
)

# Whether a traceparent is one of version 00, which all but a few are.
is_plain_traceparent: Final = _VERSION_0.fullmatch


class Parent(NamedTuple):
    """The span of the caller, as its traceparent has it: ids in hexadecimal digits."""

    trace_id: bytes
    span_id: bytes
    is_sampled: bool


def read_traceparent(value: bytes) -> Parent | None:
    """Take a traceparent apart; None: it is none."""
    match = _VERSION_0.fullmatch(value) or _LATER_VERSION.fullmatch(value)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    return Parent(trace_id, span_id, flags[1] in ODD)


def read_tracestate(values: Iterable[bytes]) -> list[tuple[str, str]]:
    """Take the tracestate headers of a request apart, as one list; empty if anything in it is wrong."""
    pairs: dict[str, str] = {}
    for member in b",".join(values).decode("latin-1").split(","):
        stripped = member.strip(" \t")
        if not stripped:
            continue  # An empty member is allowed.
        match = _STATE_MEMBER.fullmatch(stripped)
        if match is None or match[1] in pairs or len(pairs) == TRACESTATE_MEMBERS_MAX:
            return []
        pairs[match[1]] = match[2]
    return list(pairs.items())


def read_baggage(values: Iterable[bytes]) -> dict[str, str]:
    """Take the baggage headers of a request apart, as one list; empty if it is too long or wrong."""
    joined = b",".join(values)
    if len(joined) > BAGGAGE_BYTES_MAX:
        return {}
    members = [member.strip(" \t") for member in joined.decode("latin-1").split(",")]
    if len(members) > BAGGAGE_MEMBERS_MAX:
        return {}
    found: dict[str, str] = {}
    for member in filter(None, members):
        match = _BAGGAGE_MEMBER.fullmatch(member)
        if match is None:
            return {}
        # As opentelemetry's own propagator: the app sees the same, whoever has read it.
        found[unquote_plus(match[1]).strip()] = unquote_plus(match[2]).strip()
    return found
