"""Clients that stay with a server, and requests with the same key, through a real gateway."""

import re
from typing import Any

import pytest

from penstock.worker.gateway.spec import HashSpec, ServerSpec, StickySpec
from penstock.worker.gateway.stickiness import Stickiness
from tests.worker.gateway.asking import UNTRIED, asks, group
from tests.worker.gateway.conftest import Backend, Script, Visit
from tests.worker.http.conftest import Client, Response

STICKY = StickySpec(cookie="srv")


def named(name: bytes) -> Script:
    """Make a script that answers every request with a name, always in the same words."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)

    return script


def backends(names: bytes = b"abc") -> list[Backend]:
    return [Backend(named(bytes([name]))) for name in names]


async def get(client: Client, cookie: str | None = None, path: str = "/") -> Response:
    """Ask for a path, with the value of a cookie."""
    field = f"Cookie: x=1; srv={cookie}\r\n" if cookie else ""
    await client.send(f"GET {path} HTTP/1.1\r\nHost: shop\r\n{field}\r\n".encode("latin-1"))
    return await client.response()


def cookie_in(response: Response) -> str | None:
    """Return the value of the cookie that a response sets."""
    match = re.fullmatch(r"srv=([0-9a-f]{24}); .*", response.headers.get("set-cookie", ""))
    return match[1] if match else None


async def test_a_client_stays_with_its_server(passing: Any) -> None:
    """
    By the cookie of the first response, on whatever connection its requests come.
    """
    servers = backends()
    async with passing(*servers, balance="round_robin", sticky=STICKY) as gateway:
        values: dict[bytes, str] = {}
        for _ in range(6):
            response = await get(await gateway.client())
            cookie = cookie_in(response)
            assert cookie is not None
            assert values.setdefault(response.body, cookie) == cookie
            assert response.headers["set-cookie"] == f"srv={cookie}; Path=/; HttpOnly; SameSite=Lax"
        assert sorted(values) == [b"a", b"b", b"c"]
        for name, cookie in values.items():
            client = await gateway.client()
            for _ in range(4):
                response = await get(client, cookie)
                assert response.body == name
                assert cookie_in(response) is None


async def test_nobody_gets_the_cookie_of_somebody_else(passing: Any) -> None:
    """
    Responses whose heads were seen before go the short way, and that knows no cookies.
    """
    async with passing(*backends(), balance="round_robin", sticky=STICKY) as gateway:
        one, other = await gateway.client(), await gateway.client()
        first = await get(one)
        cookie = cookie_in(first)
        for _ in range(3):  # Now its head is remembered, without a cookie.
            assert cookie_in(await get(one, cookie)) is None
        seen = set()
        for _ in range(9):
            response = await get(other)
            assert cookie_in(response) is not None
            assert (cookie_in(response) == cookie) == (response.body == first.body)
            seen.add(response.body)
            assert cookie_in(await get(one, cookie)) is None
        assert len(seen) == 3


async def test_a_cookie_of_nobody_is_replaced(passing: Any) -> None:
    """
    One that was made up, and one of a server that is gone.
    """
    async with passing(*backends(), sticky=STICKY) as gateway:
        client = await gateway.client()
        for cookie in ("0" * 24, "x", "", "0" * 5000, "\xff"):
            assert cookie_in(await get(client, cookie)) is not None


async def test_a_server_that_is_down_loses_its_clients_to_another(passing: Any) -> None:
    """
    And they stay with that one, also when the first is up again.
    """
    async with passing(*backends(b"ab"), sticky=STICKY) as gateway:
        client = await gateway.client()
        first = await get(client)
        cookie = cookie_in(first)
        standing = gateway.upstream.pools[b"ab".index(first.body)].standing
        standing.is_healthy = False
        standing.judge(1.0)
        second = await get(client, cookie)
        assert second.body != first.body
        moved = cookie_in(second)
        assert moved not in (None, cookie)
        standing.is_healthy = True
        standing.judge(2.0)
        assert (await get(client, moved)).body == second.body


async def test_a_retry_takes_the_client_along(passing: Any) -> None:
    """
    The server that answers is the one that it is to come back to.
    """
    servers = backends(b"ab")
    async with passing(*servers, sticky=STICKY) as gateway:
        client = await gateway.client()
        first = await get(client)

        async def closes(visit: Visit) -> None:
            await visit.head()

        index = b"ab".index(first.body)
        servers[index].script = closes
        for visit in servers[index].visits:
            await visit.reset()
        second = await get(client, cookie_in(first))
        assert second.body != first.body
        assert cookie_in(second) is not None
        assert (await get(client, cookie_in(second))).body == second.body


async def test_a_server_that_is_to_go_keeps_the_clients_that_it_has(passing: Any) -> None:
    """
    Weight 0: nobody new. So it can be emptied.
    """
    async with passing(*backends(b"ab"), sticky=STICKY, balance="round_robin") as gateway:
        upstream = gateway.upstream
        client = await gateway.client()
        first = await get(client)
        pool = upstream.pools[b"ab".index(first.body)]
        pool.server = ServerSpec(address=pool.server.address, weight=0)
        upstream.standings_changed()
        for _ in range(4):
            assert (await get(client)).body != first.body
            assert (await get(client, cookie_in(first))).body == first.body


async def test_the_same_key_goes_to_the_same_server(passing: Any) -> None:
    """
    Whoever asks, and however often.
    """
    async with passing(*backends(), balance="consistent_hash", hash=HashSpec(by="path")) as gateway:
        found: dict[int, bytes] = {}
        for _ in range(3):
            client = await gateway.client()
            for number in range(12):
                response = await get(client, path=f"/{number}")
                assert found.setdefault(number, response.body) == response.body
        assert len(set(found.values())) > 1


async def test_with_nobody_up_and_no_panic_clients_hear_so_at_once(passing: Any) -> None:
    """
    And that they may come back.
    """
    servers = backends()
    async with passing(*servers, panic_threshold=0.0) as gateway:
        for pool in gateway.upstream.pools:
            pool.standing.is_healthy = False
            pool.standing.judge(1.0)
        client = await gateway.client()
        for method in ("GET", "HEAD"):
            await client.send(f"{method} / HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            response = await client.response(to_head=method == "HEAD")
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
        assert not any(server.visits for server in servers)


async def test_with_too_few_up_all_get_requests(passing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    It is told once when that begins, and once when it ends.
    """
    servers = backends()
    async with passing(*servers, balance="round_robin") as gateway:
        standings = [pool.standing for pool in gateway.upstream.pools]
        for standing in standings[:2]:
            standing.is_healthy = False
            standing.judge(1.0)
        client = await gateway.client()
        assert {(await get(client)).body for _ in range(3)} == {b"a", b"b", b"c"}
        standings[0].is_healthy = True
        standings[0].judge(2.0)
        assert {(await get(client)).body for _ in range(6)} == {b"a", b"c"}
    told = [record.getMessage() for record in caplog.records if "upstream" in record.getMessage()]
    assert told == ["upstream backend: only 1 of its 3 servers are up: all get requests"]


async def test_response_times_are_taken(passing: Any) -> None:
    """
    Only where they are asked for: else nothing looks at the clock.
    """
    async with passing(*backends(b"ab"), balance="ewma") as gateway:
        client = await gateway.client()
        for _ in range(6):
            assert (await get(client)).status == 200
        known = [pool.latency.ns for pool in gateway.upstream.pools]
        assert 0 < max(known) < 60e9
    async with passing(*backends(b"ab")) as gateway:
        assert gateway.upstream.pools[0].latency is None


async def test_a_server_that_comes_back_gets_more_with_every_tick(passing: Any) -> None:
    """
    And one that joins as well; those of the start do not warm up.
    """
    async with passing(*backends(b"ab"), slow_start_s=10.0, balance="round_robin") as gateway:
        upstream = gateway.upstream
        client = await gateway.client()

        async def share_of(name: bytes) -> int:
            return [(await get(client)).body for _ in range(110)].count(name)

        assert await share_of(b"a") == 55
        standing = upstream.pools[0].standing
        standing.is_healthy = False
        standing.judge(upstream.now_s)
        standing.is_healthy = True
        standing.judge(upstream.now_s)
        assert await share_of(b"a") == pytest.approx(10, abs=1)
        gateway.pass_time(5.0)
        assert await share_of(b"a") == pytest.approx(110 / 3, abs=2)
        gateway.pass_time(5.0)
        assert await share_of(b"a") == 55

        gone = upstream.pools[1]
        address = gone.server.address
        upstream.pools = upstream.pools[:1]
        gone.close()
        upstream.standings_changed()
        assert await share_of(b"a") == 110
        upstream.pools = [*upstream.pools, upstream.pool_for(ServerSpec(address=address))]
        upstream.standings_changed()
        assert await share_of(b"b") == pytest.approx(10, abs=1)


def test_a_cookie_says_nothing_to_a_client_and_the_same_to_all_workers() -> None:
    """
    Nor is the cookie of one upstream, or of another secret, a name in another.
    """
    lineup = group([1, 1], addresses=["10.0.0.1:80", "10.0.0.2:80"])
    values = set()
    for upstream, secret in (("a", None), ("b", None), ("a", "s1"), ("a", "s2")):
        texts = []
        for _ in range(2):
            sticky = Stickiness(StickySpec(cookie="srv", secret=secret), upstream)
            sticky.chooser(lineup, lambda tried, asking: 0)
            headers: list[tuple[bytes, bytes]] = []
            sticky.mark(headers, asks().scope, "10.0.0.2:80")
            texts.append(headers[0][1])
        assert texts[0] == texts[1]
        values.add(texts[0])
    assert len(values) == 4
    assert not any(b"10.0" in value for value in values)


def test_who_brings_a_cookie_is_recognized() -> None:
    """
    One that was tried for this request already, or is not known, is not.
    """
    lineup = group([1, 0, 1], shares=[1, 1, 1])
    spec = StickySpec(
        cookie="srv", ttl_s=3600.0, path="/x", is_secure=True, is_http_only=False, same_site="none"
    )
    sticky = Stickiness(spec, "a")
    choose = sticky.chooser(lineup, lambda tried, asking: 7)
    headers: list[tuple[bytes, bytes]] = []
    for address in lineup.addresses:
        sticky.mark(headers, asks().scope, address)
    sticky.mark(headers, asks().scope, "10.9.9.9:80")  # It left in the meantime.
    texts = [value.decode() for _, value in headers]
    assert len(texts) == 3
    assert all(text.endswith("; Path=/x; Max-Age=3600; Secure; SameSite=None") for text in texts)
    found = []
    for text in texts:
        request = asks(cookie=text.partition(";")[0])
        found.append((choose(UNTRIED, request), request.is_plain))
    assert found == [(0, True), (7, False), (2, True)]
    assert choose([0], asks(cookie=texts[0].partition(";")[0])) == 7
