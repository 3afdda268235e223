"""
Endless responses, such as server-sent events, in a drain: their apps are told to end them.

A response whose length nobody knows may go on for as long as its client stays.
The drain would wait for it up to its deadline, and then cut it off. So some time
before that its app gets `http.disconnect` from `receive`. What it sends goes on
to the client: it can say goodbye and end the response, and the client asks again
for more, of a worker that stays.
"""

import asyncio
import math
import time
from collections.abc import Callable

from penstock.worker.http.exchange import Exchange
from penstock.worker.logs import LOG

# Over how long they are told, so that neither their apps all wake nor their clients all come
# back at once: with a thousand of them, 500 a second, which under TLS is a quarter of a core.
STREAM_SPREAD_S = 2.0

# How often it is somebody's turn in that time.
TURN_S = 0.02

# How often it is looked for responses that have begun since.
LOOK_AGAIN_S = 1.0


def due_count(count: int, elapsed_s: float, spread_s: float) -> int:
    """Say how many of so many are to be told by now: the first at once, the last within the spread."""
    if elapsed_s >= spread_s:
        return count
    return min(count, math.floor(count * elapsed_s / spread_s) + 1)


async def end_streams(exchanges: Callable[[], list[Exchange]], *, after_s: float, until_s: float) -> None:
    """
    Call off every endless response among these that is under way at `after_s`, or begins later.

    Both are monotonic times; at `until_s` the drain is over. Goes on until cancelled.
    """
    await asyncio.sleep(max(0.0, after_s - time.monotonic()))
    while True:
        streams = [exchange for exchange in exchanges() if exchange.is_endless]
        if streams:
            LOG.info("drain: ending %d responses that would go on", len(streams))
        started_s = time.monotonic()
        # Who is told last is to have time to end, too.
        spread_s = min(STREAM_SPREAD_S, max(0.0, until_s - started_s) / 2)
        told = 0
        while told < len(streams):
            due = due_count(len(streams), time.monotonic() - started_s, spread_s)
            for exchange in streams[told:due]:
                if exchange.is_endless:  # It may have ended by itself meanwhile.
                    exchange.call_off()
            told = due
            await asyncio.sleep(TURN_S)
        await asyncio.sleep(LOOK_AGAIN_S)
