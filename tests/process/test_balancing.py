"""Clients and keys that stay with their server, through real workers and restarts of them."""

import http.client
import signal
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Server
from tests.process.test_gateway import backend

Start = Callable[..., Server]


def ask(gateway: Server, path: str = "/", **headers: str) -> tuple[str, str]:
    """Ask on a new connection, which any worker may take; return the body, and the cookie that was set."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        cookie = (response.getheader("set-cookie") or "").partition(";")[0]
        return response.read().decode(), cookie
    finally:
        connection.close()


def test_clients_and_keys_stay_with_their_server(start: Start, tmp_path: Path) -> None:
    """
    Whichever worker they come to, after a reload, and after a hot restart.
    """
    addresses = ", ".join(f"'127.0.0.1:{backend(start, tmp_path, name).port}'" for name in "abc")
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "workers: 2\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{match: {path: /hash/}, proxy: hashed},\n"
        "  {match: {path: /maglev/}, proxy: even}, {proxy: sticky}]}]\n"
        "upstreams:\n"
        f"  sticky: {{servers: [{addresses}], balance: random, sticky: {{cookie: server}}}}\n"
        f"  hashed: {{servers: [{addresses}], balance: consistent_hash, hash: {{by: 'header:x-user'}}}}\n"
        f"  even: {{servers: [{addresses}], balance: consistent_hash,\n"
        "    hash: {by: uri, algorithm: maglev}}\n"
    )
    gateway = start("-c", str(path)).wait_serving()

    cookies = {name: cookie for name, cookie in (ask(gateway) for _ in range(60)) if cookie}
    assert sorted(cookies) == ["a", "b", "c"]
    users = {f"user-{number}": "" for number in range(20)}
    pages = {f"/maglev/{number}": "" for number in range(20)}
    for generation, order in enumerate((None, signal.SIGHUP, signal.SIGUSR2), 1):
        if order is not None:
            gateway.signal(order)
            gateway.wait_generation(generation, 2)
        for _ in range(4):
            for name, cookie in cookies.items():
                assert ask(gateway, Cookie=cookie) == (name, "")
            for user, name in users.items():
                users[user] = ask(gateway, "/hash/", **{"X-User": user})[0]
                assert name in ("", users[user])
            for page, name in pages.items():
                pages[page] = ask(gateway, page)[0]
                assert name in ("", pages[page])
    assert len({*users.values()}) == len({*pages.values()}) == 3
