"""Every kind of address that can be listened on, and who listens there."""

import http.client
import os
import pwd
import signal
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.process.harness import Server, run_penstock, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]


def ask(sock: socket.socket) -> bytes:
    """Ask over a connected socket, and return the whole answer."""
    sock.settimeout(20)
    sock.sendall(b"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := sock.recv(65536):
        answer += piece
    return answer


def test_unix_socket_has_its_permissions_and_survives_a_hot_restart(start: Start, tmp_path: Path) -> None:
    """
    The proxy in front connects by a path, with the rights that it was given.
    """
    path = tmp_path / "web.sock"
    server = start("--uds", str(path), "--uds-permissions", "0660", "--workers", "2").wait_serving()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    inode = path.stat().st_ino

    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=2)

    assert path.stat().st_ino == inode
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        assert ask(sock).startswith(b"HTTP/1.1 200 ")
    assert server.stop() == 0
    assert not path.exists()


def test_inherited_descriptor_is_served(start: Start) -> None:
    """
    Whoever starts the server may have bound the address already.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        start("--fd", str(sock.fileno()), "--workers", "2", pass_fds=[sock.fileno()]).wait_serving()

        for _ in range(5):
            with socket.create_connection(sock.getsockname()) as client:
                assert ask(client).startswith(b"HTTP/1.1 200 ")


def test_ipv6_wildcard_serves_both_families(start: Start) -> None:
    """
    `[::]` is what containers bind, and clients of either family expect an answer.
    """
    server = start("--bind", "[::]:0", "--workers", "1").wait_serving()

    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, server.port)) as client:
            assert ask(client).startswith(b"HTTP/1.1 200 ")


def test_several_addresses_at_once(start: Start, tmp_path: Path) -> None:
    """
    `-b` may be repeated, as in gunicorn.
    """
    path = tmp_path / "web.sock"
    server = start("-b", "127.0.0.1:0", "-b", f"unix:{path}", "--workers", "1").wait_serving()

    assert server.get("/whoami")[0] == 200
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        assert ask(sock).startswith(b"HTTP/1.1 200 ")


def test_tls_serves_and_reads_a_new_certificate_on_hup(start: Start, tmp_path: Path) -> None:
    """
    A renewed certificate is taken up without a restart.
    """
    certificate, key = make_certificate(tmp_path, "first.test")
    (tmp_path / "p.yaml").write_text(
        "workers: 1\nlisteners:\n  - bind: 127.0.0.1:0\n"
        f"    tls: {{certificates: [{{cert: {certificate}, key: {key}}}]}}\n"
        "    routes: [{app: 'main:app'}]\n"
    )
    write_app(tmp_path, HELLO)
    server = start("-c", "p.yaml").wait_serving()

    def subject() -> str:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=20)
        return subprocess.run(
            ["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True, check=True
        ).stdout

    assert "first.test" in subject()
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    connection.request("GET", "/")
    assert connection.getresponse().read().startswith(b"hello")
    connection.close()

    make_certificate(tmp_path, "second.test")
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert "second.test" in subject()


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate, over the one that may be there."""
    certificate, key = folder / "server.crt", folder / "server.key"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    extension = "basicConstraints=critical,CA:TRUE"
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(
        ["openssl", *made.split(), "-subj", f"/CN={name}", "-addext", extension, *files],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_workers_and_admin_drop_privileges_and_the_master_keeps_them(start: Start, open_folder: Path) -> None:
    """
    The master must still bind and read keys; whoever touches clients' bytes must not be able to.
    """
    if os.getuid() != 0:
        result = run_penstock("--port", "0", "--user", "nobody", cwd=open_folder)
        assert result.returncode == 3
        assert "only root" in result.stderr
        return
    write_app(open_folder, HELLO)
    nobody = pwd.getpwnam("nobody")
    options = ("--port", "0", "--workers", "1", "--user", "nobody")
    server = start("main:app", *options, cwd=open_folder).wait_serving()

    assert server.get("/")[0] == 200
    assert psutil.Process(server.pid).uids().real == 0
    for child in server.children():
        assert set(child.uids()) == {nobody.pw_uid}
        assert set(child.gids()) == {nobody.pw_gid}
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    assert server.get("/")[0] == 200
