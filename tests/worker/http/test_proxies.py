"""What becomes of the headers of proxies on a real connection."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.http.head import HeadParser
from penstock.worker.spec import ProxiesSpec

TRUSTING = ProxiesSpec(trusted=("127.0.0.1", "10.0.0.0/8"))
UNTRUSTING = ProxiesSpec(trusted=("10.0.0.0/8",))
FORWARDED = ProxiesSpec(trusted=("127.0.0.1",), family="forwarded")
FOR = "X-Forwarded-For: 203.0.113.9"
PROTO = "X-Forwarded-Proto: https"


async def whoami(scope: Any, receive: Any, send: Any) -> None:
    """Tell who asks."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = [scope["client"], scope["scheme"], scope["http_version"], body.decode(), len(scope["headers"])]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


def request(*headers: str, line: str = "GET / HTTP/1.1", body: str = "") -> bytes:
    return "\r\n".join((line, "Host: a", *headers, "", body)).encode()


async def asked(server: Any, *requests: bytes) -> list[Any]:
    """Make requests on one connection, and say who was seen."""
    client = await server.client()
    seen = []
    for each in requests:
        await client.send(each)
        seen.append(json.loads((await client.response()).body))
    return seen


async def test_trusted_proxy_is_believed_of_each_request(serve: Any) -> None:
    """
    One connection of a proxy carries the requests of many clients, and some of its own.
    """
    async with serve(whoami, proxies=TRUSTING) as server:
        first, own, second, again = await asked(
            server,
            request(FOR, PROTO),
            request(),
            request("X-Forwarded-For: 6.6.6.6, 198.51.100.1:81, 10.0.0.3"),
            request(FOR, PROTO),
        )

    assert first == again == [["203.0.113.9", 0], "https", "1.1", "", 3]
    assert own[0][0] == "127.0.0.1"
    assert own[1] == "http"
    assert second[:2] == [["198.51.100.1", 81], "http"]


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize(
    "case",
    [
        (request(FOR, PROTO), "1.1", ""),
        (request(FOR, PROTO, "Connection: keep-alive"), "1.1", ""),
        (request(FOR, PROTO, "Content-Length: 3", line="POST / HTTP/1.1", body="abc"), "1.1", "abc"),
        (request(FOR, PROTO, "Connection: keep-alive", line="GET / HTTP/1.0"), "1.0", ""),
        (
            request(
                FOR, PROTO, "Transfer-Encoding: chunked", line="POST / HTTP/1.1", body="3\r\nabc\r\n0\r\n\r\n"
            ),
            "1.1",
            "abc",
        ),
    ],
)
@pytest.mark.parametrize("piece", [None, 7])
async def test_every_kind_of_request_is_understood(
    serve: Any, case: tuple[bytes, str, str], times: int, piece: int | None
) -> None:
    """
    Parsed anew, found among blocks that came before, or in pieces.
    """
    head, version, body = case
    async with serve(whoami, proxies=TRUSTING) as server:
        client = await server.client()
        for _ in range(times):
            await client.send(head, piece=piece)
            seen = json.loads((await client.response()).body)
            assert seen[:4] == [["203.0.113.9", 0], "https", version, body]


async def test_stranger_is_not_believed_and_told_of_once(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The line names the option: it may be a proxy that one forgot.
    """
    caplog.set_level(logging.INFO)
    async with serve(whoami, proxies=UNTRUSTING) as server:
        for _ in range(3):
            [seen] = await asked(server, request(FOR, PROTO))
            assert seen[0][0] == "127.0.0.1"
            assert seen[1] == "http"

    [told] = [each for each in caplog.messages if "forwarded" in each]
    assert "127.0.0.1" in told
    assert "--forwarded-allow-ips" in told


async def test_each_family_is_read_alone(serve: Any) -> None:
    """
    A proxy that writes one passes the other on as a client has written it.
    """
    both = request("Forwarded: for=198.51.100.1;proto=https", FOR)
    async with serve(whoami, proxies=FORWARDED) as server:
        [seen] = await asked(server, both)
        assert seen[:2] == [["198.51.100.1", 0], "https"]
        [seen] = await asked(server, request(FOR, PROTO))
        assert seen[0][0] == "127.0.0.1"
    async with serve(whoami, proxies=TRUSTING) as server:
        [seen] = await asked(server, both)
        assert seen[:2] == [["203.0.113.9", 0], "http"]
    async with serve(whoami) as server:
        [seen] = await asked(server, both)
        assert seen[0][0] == "127.0.0.1"


@pytest.mark.parametrize("trusted", [("unix:",), ("*",), ("127.0.0.1",)])
async def test_unix_sockets_are_trusted_by_name(serve: Any, tmp_path: Path, trusted: tuple[str, ...]) -> None:
    async with serve(whoami, path=str(tmp_path / "s"), proxies=ProxiesSpec(trusted=trusted)) as server:
        [seen] = await asked(server, request(FOR, PROTO))

    assert seen[:2] == ([None, "http"] if trusted == ("127.0.0.1",) else [["203.0.113.9", 0], "https"])


async def test_lines_that_come_twice_are_one_list(serve: Any) -> None:
    """
    A proxy may add a line instead of an entry. The last one is its own.
    """
    async with serve(whoami, proxies=TRUSTING) as server:
        [seen] = await asked(server, request("X-Forwarded-For: 6.6.6.6", FOR))

    assert seen[0] == ["203.0.113.9", 0]


async def test_parked_connection_of_a_proxy_is_believed_again(serve: Any) -> None:
    """
    It is another `Connection` when it wakes.
    """
    async with serve(whoami, proxies=TRUSTING, parks=True) as server:
        client = await server.client()
        await client.send(request(FOR))
        await client.response()
        server.pass_time(5.0)
        await server.until(lambda: server.site.parked_count == 1)
        await client.send(request("X-Forwarded-For: 198.51.100.1"))

        assert json.loads((await client.response()).body)[0] == ["198.51.100.1", 0]


async def test_it_is_the_client_that_observers_see(serve: Any) -> None:
    """
    The access log, and what is noted of slow requests.
    """
    seen: list[Any] = []
    async with serve(whoami, proxies=TRUSTING) as server:
        server.site.watch_requests(observer=lambda exchange, us, size: seen.append(exchange.scope["client"]))
        await asked(server, request(FOR))

    assert seen == [("203.0.113.9", 0)]


@pytest.mark.parametrize("names", [(b"", b""), (b"x-forwarded-for", b"x-forwarded-proto")])
def test_usual_requests_of_proxies_are_scanned_once(names: tuple[bytes, bytes]) -> None:
    """
    To parse twice costs a third of a request.
    """
    parser = HeadParser(100, names)
    parser.parse(request())
    assert parser.scan(request()) is not None
    assert parser.forwarded is None

    found = parser.scan(request(FOR, PROTO))

    if not names[0]:
        assert found is not None
        return
    assert found is None
    assert parser.forwarded is not None
    headers, host, framing = parser.forwarded
    assert len(headers) == 3
    assert host == b"a"
    assert framing is not None
    assert framing.said == (b"203.0.113.9", b"https", None)
    for odd in (request(FOR, "Connection: close"), request(FOR, "Host: b"), request(FOR, "Expect: x")):
        parser.forwarded = None
        assert parser.scan(odd) is None
        assert parser.forwarded is None
