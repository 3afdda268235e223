"""Addresses as the operator writes them."""

import pytest

from penstock.master.config.bind import Bind, FdBind, TcpBind, UnixBind, parse_bind
from penstock.master.config.problems import Mismatch


@pytest.mark.parametrize(
    ("text", "bind", "shown"),
    [
        ("127.0.0.1:8000", TcpBind("127.0.0.1", 8000), "127.0.0.1:8000"),
        (":8080", TcpBind("0.0.0.0", 8080), "0.0.0.0:8080"),
        ("0.0.0.0:0", TcpBind("0.0.0.0", 0), "0.0.0.0:0"),
        ("[::]:8080", TcpBind("::", 8080), "[::]:8080"),
        ("[0:0:0:0:0:0:0:1]:80", TcpBind("::1", 80), "[::1]:80"),
        ("LocalHost:65535", TcpBind("localhost", 65535), "localhost:65535"),
        ("unix:/run/x.sock", UnixBind("/run/x.sock"), "unix:/run/x.sock"),
        ("unix:x.sock", UnixBind("x.sock"), "unix:x.sock"),
        ("fd:3", FdBind(3), "fd:3"),
        ("fd://3", FdBind(3), "fd:3"),
        ("fd:web", FdBind("web"), "fd:web"),
        ("fd://penstock.socket", FdBind("penstock.socket"), "fd:penstock.socket"),
    ],
)
def test_every_form_is_read_and_shown_in_one_way(text: str, bind: Bind, shown: str) -> None:
    """
    One spelling for each address, so that equal addresses are seen to be equal.
    """
    assert parse_bind(text) == bind
    assert str(bind) == shown
    assert parse_bind(shown) == bind


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "80", "localhost", "host:", "host:x", "host:65536", "host:-1", "a b:80", "http://x:80"),
        *(
            "::1:80",
            "[::1]",
            "[::1",
            "[x]:80",
            "[]:80",
            "256.1.1.1:80",
            "1.2.3:80",
            "h\n:80",
            "host:٣",
            "-x:80",
        ),
        *("unix:", "unix:" + "x" * 108, "unix:\0", "unix:" + "é" * 54, "fd:", "fd:-1", "fd:3x", "fd:9999999"),
        *("fd:a:b", "fd:a b", "fd:é", "fd:" + "x" * 256),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """
    An address that is half understood binds the wrong thing.
    """
    with pytest.raises(Mismatch):
        parse_bind(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("8080", "'127.0.0.1:8080'"), ("localhost", "'localhost:8000'"), ("::1:80", "[::1]:8000")],
)
def test_the_half_that_is_missing_is_offered(text: str, hint: str) -> None:
    """
    Gunicorn takes `-b 0.0.0.0`, so people type it.
    """
    with pytest.raises(Mismatch) as caught:
        parse_bind(text)
    assert hint in caught.value.hint
