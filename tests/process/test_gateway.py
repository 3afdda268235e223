"""A gateway in real processes, before servers that are real as well."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Server, free_port, run_penstock

Start = Callable[..., Server]


def backend(start: Start, folder: Path, name: str) -> Server:
    """Start a server that answers with its name."""
    path = folder / f"{name}.yaml"
    path.write_text(
        "workers: 1\nadmin: {bind: none}\n"
        f"listeners: [{{bind: '127.0.0.1:0', routes: [{{respond: {{body: {name}}}}}]}}]\n"
    )
    return start("-c", str(path), "--control", str(folder / f"{name}.sock")).wait_serving()


def test_requests_go_to_all_servers_of_an_upstream(start: Start, tmp_path: Path) -> None:
    """
    Through a reload and a hot restart; and a server that is not there costs no request.
    """
    servers = [backend(start, tmp_path, name) for name in "ab"]
    path = tmp_path / "gateway.yaml"
    addresses = ", ".join(f"'127.0.0.1:{each.port}'" for each in servers)
    path.write_text(
        "workers: 1\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{proxy: both}]}]\n"
        f"upstreams: {{both: {{servers: [{addresses}, '127.0.0.1:{free_port()}'], balance: round_robin}}}}\n"
    )
    gateway = start("-c", str(path)).wait_serving()

    def answers() -> set[bytes]:
        found = {gateway.get("/") for _ in range(9)}
        assert {status for status, _ in found} == {200}
        return {body for _, body in found}

    assert answers() == {b"a", b"b"}
    for generation, order in enumerate((signal.SIGHUP, signal.SIGUSR2), 2):
        gateway.signal(order)
        gateway.wait_generation(generation, 1)
        assert answers() == {b"a", b"b"}


def test_a_route_may_name_a_server_itself(start: Start, tmp_path: Path) -> None:
    """
    The shortest gateway there is; and without its server it says so, and goes on.
    """
    server = backend(start, tmp_path, "a")
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "workers: 1\nlisteners:\n"
        "  - bind: 127.0.0.1:0\n"
        "    routes:\n"
        f"      - {{match: {{path: /gone}}, proxy: 'http://127.0.0.1:{free_port()}'}}\n"
        f"      - {{proxy: 'localhost:{server.port}'}}\n"
    )
    assert run_penstock("check", "-c", str(path), cwd=tmp_path).returncode == 0
    gateway = start("-c", str(path)).wait_serving()

    assert gateway.get("/") == (200, b"a")
    status, body = gateway.get("/gone")
    assert status == 502
    assert body.startswith(b"502 Bad Gateway")
    assert re.search(r"cannot connect", gateway.output())
