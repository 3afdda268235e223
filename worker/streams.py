"""
Endless responses, such as server-sent events, in a drain: their apps are told to end them.

A response whose length nobody knows may go on for as long as its client stays.
The drain would wait for it up to its deadline, and then cut it off. So some time
before that its app gets `http.disconnect` from `receive`. What it sends goes on
to the client: it can say goodbye and end the response, and the client asks again
for more, of a worker that stays.

Tunnels of the gateway have no app to tell: they are cut, as late as may be.
"""

import asyncio
import math
import time
from collections.abc import Callable

from penstock.worker.http.exchange import Exchange
from penstock.worker.limits import TUNNEL_MARGIN_S, TUNNEL_SPREAD_S
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
        # Who is told last is to have time to end, too.
        spread_s = min(STREAM_SPREAD_S, max(0.0, until_s - time.monotonic()) / 2)
        # It may have ended by itself meanwhile.
        await _call_off(streams, lambda exchange: exchange.is_endless, spread_s)
        await asyncio.sleep(LOOK_AGAIN_S)


async def end_tunnels(exchanges: Callable[[], list[Exchange]], *, until_s: float) -> None:
    """
    Cut every tunnel among these shortly before `until_s`, when the drain is over.

    Nobody can tell what is being said in one, nor say goodbye in it: so each has all the
    time that there is, and those who come back do not all come at once.
    """
    left_s = until_s - time.monotonic()
    spread_s = min(TUNNEL_SPREAD_S, max(0.0, left_s - TUNNEL_MARGIN_S) / 2)
    await asyncio.sleep(max(0.0, left_s - TUNNEL_MARGIN_S - spread_s))
    tunnels = [exchange for exchange in exchanges() if exchange.is_tunnel]
    if tunnels:
        LOG.info("drain: cutting %d tunnels", len(tunnels))
    await _call_off(tunnels, lambda exchange: exchange.is_tunnel, spread_s)


async def _call_off(these: list[Exchange], is_due: Callable[[Exchange], bool], spread_s: float) -> None:
    started_s = time.monotonic()
    told = 0
    while told < len(these):
        due = due_count(len(these), time.monotonic() - started_s, spread_s)
        for exchange in these[told:due]:
            if is_due(exchange):
                exchange.call_off()
        told = due
        await asyncio.sleep(TURN_S)
