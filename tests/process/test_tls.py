"""TLS of a whole server, as clients and operators meet it."""

import json
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, run_penstock, wait_for, write_app
from tests.worker.tls.pki import Pair, encrypt, make

Start = Callable[..., Server]

APP = """
import asyncio, json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(3)
    told = scope.get("extensions", {}).get("tls")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps([scope["scheme"], told]).encode()})
"""


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Write an app, and a certificate beside it."""
    write_app(tmp_path, APP)
    return make(tmp_path, "server", names=("localhost", "first.test"))


def connect(port: int, name: str = "localhost") -> ssl.SSLSocket:
    """Shake hands, whatever the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    return context.wrap_socket(sock, server_hostname=name)


def served(port: int, name: str = "localhost") -> str:
    """Tell which certificate a new client gets, as DER in hexadecimal."""
    with connect(port, name) as sock:
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return der.hex()


def der_of(pair: Pair) -> str:
    """Tell which one is in a file."""
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text()).hex()


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask as a user does."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True, check=False
    )


def test_options_serve_tls_to_curl(start: Start, pair: Pair) -> None:
    """
    Uvicorn's options, with an encrypted key whose password is in the environment.
    """
    locked = encrypt(pair.key, "opensesame")
    server = start(
        "main:app", "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(locked), "--port", "0",
        "--workers", "1", env={"PENSTOCK_SSL_KEYFILE_PASSWORD": "opensesame"},
    ).wait_serving()  # fmt: skip

    done = curl("--cacert", str(pair.cert), f"https://localhost:{server.port}/", "--tlsv1.3")
    scheme, told = json.loads(done.stdout)
    assert scheme == "https"
    assert told["tls_version"] == 0x0304
    assert told["server_cert"].split() == pair.cert.read_text().split()
    done = curl("--cacert", str(pair.cert), f"https://localhost:{server.port}/", "--tls-max", "1.2")
    assert json.loads(done.stdout)[1]["tls_version"] == 0x0303

    assert "opensesame" not in server.output()
    assert "opensesame" not in json.dumps(server.status())


def test_wrong_password_and_other_mistakes_end_the_start(pair: Pair, tmp_path: Path) -> None:
    """
    With one line that names the option, and without a question.
    """
    locked = encrypt(pair.key, "opensesame")
    other = make(tmp_path, "other")
    for key, options, told in (
        (
            locked,
            ("--ssl-keyfile-password", "wrongword"),
            "--ssl-keyfile-password: found one that does not open",
        ),
        (locked, (), "a private key with a password"),
        (other.key, (), "which is not the key of the certificate"),
        (pair.key, ("--ssl-cert-reqs", "2"), "--ssl-cert-reqs: found 'required' without 'client_ca'"),
    ):
        done = run_penstock(
            "main:app", "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(key), *options, cwd=tmp_path
        )
        assert done.returncode == 2
        assert told in done.stderr
        assert "wrongword" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_hup_takes_up_a_new_certificate_and_drops_nobody(start: Start, pair: Pair, tmp_path: Path) -> None:
    """
    What is under way ends on the old one; whoever comes gets the new one.
    """
    server = start(
        "main:app", "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key), "--port", "0",
        "--workers", "2",
    ).wait_serving()  # fmt: skip
    old = der_of(pair)
    assert served(server.port) == old
    [expiry] = server.status()["listeners"][0]["certificates"]
    assert expiry_of(server) == expiry["expires_at"]

    with connect(server.port) as busy, connect(server.port) as idle:
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        make(tmp_path, "server", names=("localhost", "second.test"), valid=("-days", "9"))
        server.signal(signal.SIGHUP)
        wait_for(lambda: served(server.port) != old, "the new certificate")
        # Established before: answered by who took it.
        assert b'"https"' in read_all(busy)
        assert busy.getpeercert(binary_form=True).hex() == old  # type: ignore[union-attr]
    server.wait_generation(2, workers=2)
    assert {served(server.port) for _ in range(8)} == {der_of(pair)}
    assert 6 * 86400 < expiry_of(server) - expiry["expires_at"] < 8 * 86400


def expiry_of(server: Server) -> float:
    """Read in the metrics when the certificate ends."""
    text = server.admin("/metrics")[1].decode()
    [value] = re.findall(
        r'penstock_tls_certificate_expiry_timestamp_seconds\{listener="web",name="localhost"\} (\S+)', text
    )
    return float(value)


def read_all(sock: ssl.SSLSocket) -> bytes:
    """Read until the server ends the connection."""
    found = b""
    while piece := sock.recv(65536):
        found += piece
    return found


def test_broken_certificate_leaves_the_old_one_serving(start: Start, pair: Pair) -> None:
    """
    And says why, where one looks.
    """
    server = start(
        "main:app", "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key), "--port", "0",
        "--workers", "1",
    ).wait_serving()  # fmt: skip
    old, text = der_of(pair), pair.cert.read_text()
    pair.cert.write_text("half a certificate")

    server.signal(signal.SIGHUP)
    status = server.wait_status(lambda status: status["master"]["last_failure"], "the failure")

    assert f"--ssl-certfile: found '{pair.cert}', expected a certificate in PEM" in json.dumps(status)
    assert "expected a certificate in PEM" in server.output()
    told = run_penstock("status", "--control", str(server.control), cwd=pair.cert.parent)
    assert "expected a certificate in PEM" in told.stdout
    assert served(server.port) == old
    assert [each["generation"] for each in server.status()["workers"]] == [1]

    pair.cert.write_text(text)
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert served(server.port) == old


def test_certificates_are_chosen_by_name(start: Start, pair: Pair, tmp_path: Path) -> None:
    """
    One address for several sites, as openssl sees it.
    """
    wild = make(tmp_path, "wild", names=("*.example.com",))
    (tmp_path / "p.yaml").write_text(
        "workers: 1\nlisteners:\n  - bind: 127.0.0.1:0\n    routes: [{app: 'main:app'}]\n    tls:\n"
        "      certificates:\n"
        + "".join(f"        - {{cert: {each.cert}, key: {each.key}}}\n" for each in (pair, wild))
    )
    server = start("-c", "p.yaml").wait_serving()

    assert served(server.port, "a.example.com") == der_of(wild)
    assert served(server.port, "first.test") == served(server.port, "nobody.test") == der_of(pair)
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "b.example.com",
         "-alpn", "h2,http/1.1"],
        input="", capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert "CN = wild" in shown.stdout
    assert "ALPN protocol: http/1.1" in shown.stdout
    assert "Compression: NONE" in shown.stdout


def test_client_certificates_are_asked_for(start: Start, pair: Pair, tmp_path: Path) -> None:
    """
    Whoever has one is told of to the app; whoever has none is told why.
    """
    authority = make(tmp_path, "authority")
    alice = make(tmp_path, "alice", subject="/CN=alice/O=Acme, Inc.", issuer=authority)
    server = start(
        "main:app", "--certfile", str(pair.cert), "--keyfile", str(pair.key), "--port", "0", "--workers", "1",
        "--ca-certs", str(authority.cert), "--cert-reqs", "2",
    ).wait_serving()  # fmt: skip
    url = f"https://localhost:{server.port}/"

    done = curl("--cacert", str(pair.cert), "--cert", str(alice.cert), "--key", str(alice.key), url)
    told = json.loads(done.stdout)[1]
    assert told["client_cert_name"] == "O=Acme\\, Inc.,CN=alice"
    assert [each.split() for each in told["client_cert_chain"]] == [alice.cert.read_text().split()]
    for _ in range(5):
        done = curl("--cacert", str(pair.cert), url)
        assert done.returncode != 0
        assert "certificate required" in done.stderr or "alert" in done.stderr
    assert server.output().count("a client sent no certificate") == 1
    assert "Traceback" not in server.output()


def test_peers_that_speak_something_else_are_answered(start: Start, pair: Pair) -> None:
    """
    Plain HTTP to the TLS port, TLS and noise to either: an answer or an end, and one line of each kind.
    """
    server = start(
        "main:app", "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key), "--workers", "1",
        "-b", "127.0.0.1:0", "--timeout-request-header", "1",
    ).wait_serving()  # fmt: skip
    for _ in range(3):
        done = curl("-i", f"http://localhost:{server.port}/")
        assert done.stdout.startswith("HTTP/1.1 400 Bad Request")
        assert "https://" in done.stdout
    for noise in (b"\0" * 64, b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as sock:
            sock.sendall(noise)
            end_of(sock)
    # Who says nothing is cut off when the time for a head is over.
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as sock:
        end_of(sock)
    assert json.loads(curl("-k", f"https://localhost:{server.port}/").stdout)[0] == "https"
    assert server.output().count("a client speaks plain HTTP") == 1
    assert "Traceback" not in server.output()
    assert "Exception" not in server.output()


def end_of(sock: socket.socket) -> None:
    """Read until the other side ends the connection, by a reset or not."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass


def test_plain_listener_hears_tls(start: Start, pair: Pair) -> None:
    """
    The URL says https and the port is plain.
    """
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    for _ in range(3):
        assert curl("-k", f"https://localhost:{server.port}/").returncode == 35
    assert server.output().count("a client speaks TLS to a port for plain HTTP") == 1
    assert json.loads(server.get("/")[1]) == ["http", None]
    assert "Traceback" not in server.output()
