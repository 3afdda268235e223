"""
What has to hold for any bytes that a client may send.
"""

import itertools
import random

from tests.fuzz.memory import MemorySite, Trouble
from tests.fuzz.strict_reading import read

CUTS_MAX = 4


def judge(memory: MemorySite, data: bytes) -> None:
    """
    Have bytes answered in every way there is, and compare.

    The strict reader says which requests there are. The app must have seen these and no other, each
    answered once and in order; then one refusal if there is more, and nothing after it. It must not
    matter whether the header blocks are known, or in which pieces the bytes come.
    """
    reading = read(data)
    for way, pieces, with_blocks in _ways(data):
        if with_blocks is not None:
            memory.remember(blocks=with_blocks)
        seen, answers = memory.feed(pieces)
        if seen != reading.requests:
            raise Trouble(f"{way}: the app saw {seen}, not {reading.requests}, of {data!r}")
        refusals = answers[len(seen) :]
        if answers[: len(seen)] != [200] * len(seen) or len(refusals) != reading.is_refused:
            raise Trouble(f"{way}: {answers} for {len(seen)} requests of {data!r}")
        if any(status < 400 or status >= 600 or status == 500 for status in refusals):
            raise Trouble(f"{way}: {answers} for {data!r}")


def _ways(data: bytes) -> list[tuple[str, list[bytes], bool | None]]:
    chance = random.Random(data)
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randint(1, CUTS_MAX)))
    return [
        ("slowly", [data], False),
        ("at first", [data], True),
        ("again", [data], None),
        ("and again", [data], None),
        ("in pieces", [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])], None),
        ("in bytes", [data[at : at + 1] for at in range(len(data))], None),
    ]
