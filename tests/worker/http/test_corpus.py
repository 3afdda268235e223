"""The corpus: what is answered to each input, in one piece, in any pieces, and cut short."""

import asyncio
import itertools
import logging
import random
from typing import Any

import pytest

from tests.fuzz.memory import MemorySite
from tests.worker.http.corpus import bounds, fields, framing, request_lines, sequences
from tests.worker.http.corpus.case import Case
from tests.worker.http.corpus.driving import Outcome, app, feed, feed_and_finish

CASES = [
    *request_lines.CASES,
    *fields.CASES,
    *framing.CASES,
    *sequences.CASES,
    *bounds.CASES,
]
BY_NAME = {case.name: case for case in CASES}
LONG_BYTES = 1500
AT_ONCE = 64


def test_the_corpus_is_as_large_as_it_says() -> None:
    """
    No name twice, or one of the two would never be tried.
    """
    assert len(BY_NAME) == len(CASES) > 400


def without_leave(outcome: Outcome) -> None:
    """Forget 100 Continue: whether it is sent depends on how fast a body comes."""
    outcome.answers = [answer for answer in outcome.answers if answer != 100]


def judge(case: Case, outcome: Outcome) -> None:
    """Compare what became of a case with what should."""
    if 100 not in case.answers:
        without_leave(outcome)
    assert (tuple(outcome.answers), outcome.end) == (case.answers, case.end)
    if case.saw:
        assert len(outcome.saw) == len(case.saw)
    for seen, expected in zip(outcome.saw, case.saw, strict=bool(case.saw)):
        assert {key: seen[key] for key in expected} == expected
    if 200 not in case.answers:
        assert not outcome.saw, "the app was called"


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Find what was not foreseen."""
    return [
        record
        for record in caplog.records
        if record.exc_info and "as it is asked to" not in str(record.exc_info[1])
    ]


@pytest.mark.parametrize("name", BY_NAME)
async def test_every_input_has_its_outcome_however_its_bytes_come(
    serve: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """
    In one piece, and again and again, when its header block is known; byte by byte; cut anywhere.
    """
    case = BY_NAME[name]
    data = case.data
    async with serve(app, **case.limits) as server:

        async def judge_pieces(*pieces: bytes) -> None:
            judge(case, await feed(server.site, pieces, case.end, case.heads, len(case.answers)))

        for _ in range(3):
            await judge_pieces(data)
        if not case.depends:
            await judge_pieces(*_in_bytes(data))
            chance = random.Random(name)
            for _ in range(3):
                cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randint(1, 5)))
                await judge_pieces(*(data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])))
    assert not tracebacks(caplog)


@pytest.mark.parametrize("name", BY_NAME)
async def test_no_beginning_of_an_input_is_taken_for_more_than_it_is(
    serve: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """
    Cut at any byte and ended: what came whole is answered as before, the rest at most refused; nobody
    hangs, and no app is told that it has all of what it has not.
    """
    case = BY_NAME[name]
    data = case.data
    sizes = range(len(data)) if len(data) <= LONG_BYTES else [*range(0, len(data), 997), len(data) - 1]
    async with serve(app, **case.limits) as server:
        whole = await feed_and_finish(server.site, data, case.heads)

        async def judge_beginning(size: int) -> None:
            outcome = await feed_and_finish(server.site, data[:size], case.heads)
            without_leave(outcome)
            count = len(outcome.answers)
            if case.depends:
                return  # Neither a hang nor a traceback.
            assert outcome.answers == whole.answers[:count] or outcome.answers == [
                *whole.answers[: count - 1],
                400,
            ], f"{data[:size]!r}"
            assert outcome.saw == whole.saw[: len(outcome.saw)], f"{data[:size]!r}"

        for at in range(0, len(sizes), AT_ONCE):
            await asyncio.gather(*(judge_beginning(size) for size in sizes[at : at + AT_ONCE]))
    assert not tracebacks(caplog)


def _in_bytes(data: bytes) -> list[bytes]:
    """Cut it into bytes, but what is long only at both of its ends."""
    if len(data) <= LONG_BYTES:
        return [data[at : at + 1] for at in range(len(data))]
    first, middle, rest = data[:300], data[300:-300], data[-300:]
    return [
        *_in_bytes(first),
        *(middle[at : at + 1009] for at in range(0, len(middle), 1009)),
        *_in_bytes(rest),
    ]


def test_no_input_changes_the_outcome_of_another() -> None:
    """
    All connections of a listener share a parser and what it remembers: whatever one client sends,
    the next one is answered as if it were alone.
    """
    inputs = [case.data for case in CASES if not case.limits and len(case.data) <= LONG_BYTES]
    alone = []
    for data in inputs:
        memory = MemorySite()
        alone.append(memory.feed([data]))
        memory.close()
    together = MemorySite()
    for seed in range(4):
        order = list(range(len(inputs)))
        random.Random(seed).shuffle(order)
        for index in order:
            assert together.feed([inputs[index]]) == alone[index], inputs[index]
    together.close()
