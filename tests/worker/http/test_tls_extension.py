"""The `tls` extension, on real connections."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.tls.context import KeyPair, TlsSettings, open_context
from tests.worker.tls.pki import Pair, make

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Keeper:
    """An app that keeps the scopes of its requests, and changes what it was given."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer at once."""
        self.scopes.append({**scope, "extensions": {**scope.get("extensions", {})}})
        if "extensions" in scope:
            scope["extensions"].pop("tls", None)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder: Path = tmp_path_factory.mktemp("pki")
    authority = make(folder, "authority")
    return {
        "authority": authority,
        "client": make(folder, "client", subject="/CN=alice/O=Acme, Inc.", issuer=authority),
        "server": make(folder, "server", names=("localhost",)),
    }


def settings(pairs: dict[str, Pair], **more: Any) -> ssl.SSLContext:
    pair = pairs["server"]
    return open_context(TlsSettings("web", (KeyPair(str(pair.cert), str(pair.key)),), **more))


async def ask(server: Any, trust: ssl.SSLContext, times: int = 1) -> None:
    reader, writer = await asyncio.open_connection(*server.address, ssl=trust, server_hostname="localhost")
    for _ in range(times):
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"hello"), 20)
    writer.close()
    await writer.wait_closed()


async def test_app_is_told_of_tls_and_client(serve: Any, pairs: dict[str, Pair]) -> None:
    """
    As the extension has it, the same with every request of a connection.
    """
    keeper = Keeper()
    tls = settings(pairs, client_ca=str(pairs["authority"].cert), client_cert="required")
    trust = ssl.create_default_context(cafile=str(pairs["server"].cert))
    trust.load_cert_chain(*pairs["client"])
    async with serve(keeper, tls=tls) as server:
        await ask(server, trust, times=2)

    first, second = (each["extensions"]["tls"] for each in keeper.scopes)
    assert first == second
    assert first["server_cert"].split() == pairs["server"].cert.read_text().split()
    assert [each.split() for each in first["client_cert_chain"]] == [pairs["client"].cert.read_text().split()]
    assert first["client_cert_name"] == "O=Acme\\, Inc.,CN=alice"
    assert first["client_cert_error"] is None
    assert first["tls_version"] == 0x0304
    assert first["cipher_suite"] in {0x1301, 0x1302, 0x1303}
    assert keeper.scopes[0]["scheme"] == "https"


async def test_client_that_shows_nothing_is_told_of_as_such(serve: Any, pairs: dict[str, Pair]) -> None:
    """
    With `optional` the app decides.
    """
    keeper = Keeper()
    tls = settings(pairs, client_ca=str(pairs["authority"].cert), client_cert="optional")
    trust = ssl.create_default_context(cafile=str(pairs["server"].cert))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    trust.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    async with serve(keeper, tls=tls) as server:
        await ask(server, trust)

    told = keeper.scopes[0]["extensions"]["tls"]
    assert told["client_cert_chain"] == []
    assert told["client_cert_name"] is None
    assert told["tls_version"] == 0x0303
    assert told["cipher_suite"] == 0xC02B


async def test_it_is_not_advertised_in_plain_text(serve: Any) -> None:
    """
    An app takes its presence for TLS.
    """
    keeper = Keeper()
    async with serve(keeper) as server:
        await server.ask(GET)

    assert "tls" not in keeper.scopes[0]["extensions"]


async def test_plain_http_is_answered_in_plain_text(serve: Any, pairs: dict[str, Pair]) -> None:
    """
    Whoever forgot the "s" is told so, as nginx does.
    """
    async with serve(Keeper(), tls=settings(pairs)) as server:
        [response] = await server.ask(GET)

    assert response.status == 400
    assert b"https://" in response.body


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01" + b"\r\n\r\n"])
async def test_tls_on_a_plain_port_is_refused_and_told_once(
    serve: Any, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The port, or the client's URL, is wrong.
    """
    caplog.set_level("INFO")
    async with serve(Keeper()) as server:
        for _ in range(3):
            [response] = await server.ask(said)
            assert response.status == 400

    assert [each for each in caplog.messages if "TLS" in each] == [
        "test: a client speaks TLS to a port for plain HTTP"
    ]
