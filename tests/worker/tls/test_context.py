"""Which certificate a client gets, and what becomes of a handshake: in memory, with OpenSSL at both ends."""

import logging
import ssl
import subprocess
import sys
from typing import Any

import pytest

from penstock.worker.tls.context import KeyPair, ServerContext, TlsSettings, open_context
from penstock.worker.tls.handshake import PLAIN_HTTP_ANSWER
from penstock.worker.tls.x509 import certificates_of, read_certificate
from tests.worker.tls.pki import Pair, encrypt


def context_of(*pairs: Pair, **settings: Any) -> ServerContext:
    listed = tuple(KeyPair(str(each.cert), str(each.key)) for each in pairs)
    return open_context(TlsSettings("web", listed, **settings))


def client_context(**settings: Any) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(made, name, value)
    return made


class Ends:
    """A server and a client, and the bytes between them."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = None) -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname=name)
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)

    def shake(self, rounds: int = 3) -> "Ends":
        """Let both go on for as long as a handshake takes."""
        for _ in range(rounds):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    pass
        return self

    @property
    def served(self) -> str:
        """The first name of the certificate that the client got."""
        der = self.client.getpeercert(binary_form=True)
        assert der is not None
        return read_certificate(der).name


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (None, "first.test"),
        ("first.test", "first.test"),
        ("unknown.test", "first.test"),
        ("a.example.com", "a.example.com"),
        ("A.Example.COM", "a.example.com"),
        ("b.example.com", "*.example.com"),
        ("example.com", "*.example.com"),  # its second name
        ("a.b.example.com", "first.test"),
        ("xexample.com", "first.test"),
        ("com", "first.test"),
    ],
)
def test_certificate_is_chosen_by_name(pairs: dict[str, Pair], asked: str | None, served: str) -> None:
    """
    By the whole name, else by a wildcard for one label, else the first.
    """
    context = context_of(pairs["first"], pairs["wild"], pairs["exact"])

    ends = Ends(context, client_context(), asked).shake()

    assert ends.served == served
    chosen = ends.server.context
    assert isinstance(chosen, ServerContext)
    assert chosen.pem is not None
    assert read_certificate(certificates_of(chosen.pem.encode())[0]).name == served


def test_kinds_of_key_are_one_choice(pairs: dict[str, Pair]) -> None:
    """
    A client that can gets ECDSA, and an old one RSA.
    """
    context = context_of(pairs["first-rsa"], pairs["first"])
    old = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")

    new = Ends(context, client_context(), "first.test").shake()
    assert new.client.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(
        pairs["first"].cert.read_text()
    )
    assert Ends(context, old, "first.test").shake().client.cipher() is not None
    assert context.pem is None  # it is not known which a client gets


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates_are_asked_of_every_name(pairs: dict[str, Pair], version: ssl.TLSVersion) -> None:
    """
    The context that was chosen by name asks, too.
    """
    context = context_of(
        pairs["first"], pairs["exact"], client_ca=str(pairs["authority"].cert), client_cert="required"
    )
    known = client_context(maximum_version=version)
    known.load_cert_chain(*pairs["client"])
    for name in ("first.test", "a.example.com"):
        ends = Ends(context, known, name).shake()
        assert ends.served == name
        assert ends.server.getpeercert(binary_form=True) is not None


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        (None, "a client sent no certificate"),
        ("stranger", "a client's certificate is not accepted: self-signed"),
    ],
)
def test_client_without_a_good_certificate_gets_an_alert(
    pairs: dict[str, Pair], certificate: str | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Else it would only see the connection end, and nobody would know why.
    """
    caplog.set_level(logging.INFO)
    context = context_of(pairs["first"], client_ca=str(pairs["authority"].cert), client_cert="required")
    client = client_context()
    if certificate is not None:
        client.load_cert_chain(*pairs[certificate])
    ends = Ends(context, client).shake(rounds=2)

    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        ends.client.read(1)
    with pytest.raises(ssl.SSLError):
        ends.server.do_handshake()
    [line] = caplog.messages
    assert line.startswith(f"TLS handshake failed on web: {told}")


def test_failures_are_told_once_a_while(pairs: dict[str, Pair], caplog: pytest.LogCaptureFixture) -> None:
    """
    A scanner makes thousands.
    """
    caplog.set_level(logging.INFO)
    context = context_of(pairs["first"])
    for _ in range(5):
        ends = Ends(context, client_context())
        ends.to_server.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            ends.server.do_handshake()
        assert ends.to_client.read() == PLAIN_HTTP_ANSWER
    assert caplog.messages == ["TLS handshake failed on web: a client speaks plain HTTP"]


def test_name_that_is_no_ascii_is_no_traceback(
    pairs: dict[str, Pair], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Python prints one for whatever goes wrong before our code is called.
    """
    caplog.set_level(logging.INFO)
    context = context_of(pairs["first"], pairs["wild"])
    ends = Ends(context, client_context(), "nnnn.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    hello = ends.to_server.read().replace(b"nnnn.example.com", b"\xff\xc3\x00\x80.example.com")
    ends.to_server.write(hello)
    hook = sys.unraisablehook
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            ends.server.do_handshake()
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == ""


def test_weak_things_are_off(pairs: dict[str, Pair]) -> None:
    """
    Also on an OpenSSL that would allow them.
    """
    context = context_of(pairs["first"])

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert context.options & option
    weak = {each["name"] for each in context.get_ciphers() if each["strength_bits"] < 128 or not each["aead"]}
    assert not {name for name in weak if "NULL" in name or "RC4" in name or "DES" in name}


def test_ciphers_are_those_that_were_chosen(pairs: dict[str, Pair]) -> None:
    """
    Those of TLS 1.3 stay.
    """
    context = context_of(pairs["first"], ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    old = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)

    cipher = Ends(context, old).shake().client.cipher()

    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert context.cipher_number(cipher[0]) == 0xC02C
    assert context.cipher_number("TLS_AES_128_GCM_SHA256") == 0x1301
    assert context.cipher_number("none") is None


def test_encrypted_key_is_opened_and_never_asked_for(pairs: dict[str, Pair]) -> None:
    """
    OpenSSL asks on the terminal when nobody answers it: here there is one, and it stays silent.
    """
    locked = str(encrypt(pairs["first"].key, "secret"))
    cert = str(pairs["first"].cert)
    assert open_context(TlsSettings("web", (KeyPair(cert, locked, "secret"),)))
    script = (
        "import os, pty, sys\n"
        "from penstock.worker.tls.context import *\n"
        "try: open_context(TlsSettings('web', (KeyPair(sys.argv[1], sys.argv[2], None),)))\n"
        "except Exception as error: print('refused', type(error).__name__)\n"
    )
    # A new session with a terminal of its own, on which a question would be seen.
    spawn = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', *sys.argv[1:]]))"
    done = subprocess.run(
        [sys.executable, "-c", spawn, script, cert, locked],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.stdout.split() == ["refused", "SSLError"]


def test_password_is_not_shown(pairs: dict[str, Pair]) -> None:
    assert "secret" not in repr(TlsSettings("web", (KeyPair("a", "b", "secret"),)))
