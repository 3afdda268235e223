"""Whatever servers do, in whatever order: each request that one is asked is counted once."""

import contextlib
from typing import Any

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.gateway import conftest
from tests.worker.gateway.conftest import Backend, Visit
from tests.worker.gateway.test_passage import GET

# What a server says to a request before it closes the connection; an answer goes without saying so.
ANSWERS = {
    "answers": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "fails": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "ends": b"HTTP/1.0 200 OK\r\n\r\nhello",
}
FAILURES = {
    "closes": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\0\1\2\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
}
DEEDS = ANSWERS | FAILURES


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sorted(DEEDS)), min_size=1, max_size=12), st.integers(0, 2))
def test_every_request_that_a_server_hears_is_answered_or_failed(deeds: list[str], retries: int) -> None:
    """
    And each client has one answer, or sees that its own broke off; afterwards nothing is under way.
    """
    uvloop.run(_try(deeds, retries))


async def _try(deeds: list[str], retries: int) -> None:
    heard: list[str] = []

    async def script(visit: Visit) -> None:
        await visit.head()
        heard.append(deeds[len(heard) % len(deeds)])
        await visit.say(DEEDS[heard[-1]])

    async with contextlib.AsyncExitStack() as stack:
        gateway: Any = await stack.enter_async_context(
            conftest._passing(Backend(script), retry_attempts=retries)
        )
        for _ in range(6):
            client = await gateway.client()
            await client.send(GET)
            head = await client.until(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 500", b"HTTP/1.1 502"))
            # The client stays until then: one that leaves is nobody's failure.
            await gateway.until(gateway.is_clean)
            client.sock.close()
            gateway.clients.clear()
        numbers = gateway.numbers()
        answered = [deed for deed in heard if deed in ANSWERS]
        assert numbers.get("answers", 0) == len(answered)
        assert numbers.get("5xx", 0) == answered.count("fails")
        failed = numbers.get("closed", 0) + numbers.get("protocol", 0)
        assert failed == len(heard) - len(answered)
        assert numbers.get("retries", 0) == len(heard) - 6
        assert numbers["connects"] == len(heard)
