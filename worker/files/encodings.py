"""
Which of the variants of a file a client gets: Accept-Encoding (RFC 9110, section 12.5.3).

Pure.
"""

import re
from collections.abc import Mapping

from penstock.worker.limits import FILE_HEADER_BYTES_MAX

IDENTITY = b"identity"

_WEIGHT = re.compile(rb"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_ALIASES = {b"x-gzip": b"gzip"}


def weights_of(accept: bytes) -> dict[bytes, float]:
    """Read an Accept-Encoding: coding and weight. What is malformed counts for nothing."""
    weights: dict[bytes, float] = {}
    for each in accept[:FILE_HEADER_BYTES_MAX].lower().split(b","):
        coding, *parameters = (part.strip(b" \t") for part in each.split(b";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.rstrip(b" \t") == b"q":
                value = value.strip(b" \t")
                weight = float(value) if _WEIGHT.fullmatch(value) else 0.0
        if coding:
            weights.setdefault(_ALIASES.get(coding, coding), weight)
    return weights


def choose(accept: bytes | None, sizes: Mapping[bytes, int]) -> bytes:
    """
    Choose among the codings that there are, by the size of each; identity is one of them.

    The client's weights come first, then the size. Where nothing is acceptable, the
    file as it is, is.
    """
    if accept is None:
        return IDENTITY
    weights = weights_of(accept)
    others = weights.get(b"*")
    best, best_rank = IDENTITY, (0.0, 0)
    for coding, size in sizes.items():
        # Unless it is refused, the file as it is, is worth less than what was named, and more than nothing.
        default = others if others is not None else 0.001 if coding == IDENTITY else 0.0
        rank = (weights.get(coding, default), -size)
        if rank[0] and (rank > best_rank or not best_rank[0]):
            best, best_rank = coding, rank
    return best
