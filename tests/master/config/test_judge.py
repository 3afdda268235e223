"""Whether a configuration makes sense as a whole."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.master.config import Reading
from penstock.master.config.listener import Keepalive, Tcp

Load = Callable[..., Reading]
Faults = Callable[..., list[str]]


def listeners(*binds: str) -> str:
    return "listeners:\n" + "".join(f"  - {{bind: '{bind}', routes: [{{app: 'a:b'}}]}}\n" for bind in binds)


def routes(*matches: str) -> str:
    lines = "".join(f"      - {{app: 'a:b', match: {match}}}\n" for match in matches)
    return f"listeners:\n  - bind: :80\n    routes:\n{lines}"


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", "found '127.0.0.1:80', the address of listeners[0].bind"),
        (":80", "0.0.0.0:80", "found '0.0.0.0:80', the address of listeners[0].bind"),
        (":80", "127.0.0.1:80", "found '127.0.0.1:80', an address that overlaps that of listeners[0].bind"),
        ("10.0.0.1:80", ":80", "found '0.0.0.0:80', an address that overlaps that of listeners[0].bind"),
        ("[::]:80", "10.0.0.1:80", "found '10.0.0.1:80', an address that overlaps that of listeners[0].bind"),
        ("[::1]:80", "[0::1]:80", "found '[::1]:80', the address of listeners[0].bind"),
        ("unix:/x", "unix:/x", "found 'unix:/x', the address of listeners[0].bind"),
        ("fd:3", "fd://3", "found 'fd:3', the address of listeners[0].bind"),
    ],
)
def test_two_listeners_cannot_have_one_address(faults: Faults, first: str, second: str, told: str) -> None:
    """
    The kernel would say so later, with less to go by.
    """
    assert faults(listeners(first, second)) == [f"3:12: listeners[1].bind: {told}"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("127.0.0.1:0", "127.0.0.2:0"),
        ("0.0.0.0:80", "[::1]:80"),
        ("unix:/x", "unix:/y"),
        ("fd:3", "fd:4"),
    ],
)
def test_addresses_that_only_look_alike_are_two(load: Load, first: str, second: str) -> None:
    """
    The invalid neighbour's valid neighbour.
    """
    assert len(load(listeners(first, second)).config.listeners) == 2


def test_the_names_of_listeners_and_routes_are_unique(faults: Faults) -> None:
    """
    Two things with one name are one line in the metrics.
    """
    text = (
        "listeners:\n"
        "  - {name: a, bind: ':80', routes: [{name: r, app: 'a:b'}, {name: r, app: 'a:b'}]}\n"
        "  - {name: a, bind: ':81', routes: [{name: r, app: 'a:b'}]}\n"
    )

    assert faults(text) == [
        "2:67: listeners[0].routes[1].name: found 'r', the name of route listeners[0].routes[0]",
        "3:12: listeners[1].name: found 'a', the name of listener listeners[0]",
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{}", "{path: /x}"),
        ("{path: /}", "{}"),
        ("{path: /a/}", "{path: /a/b}"),
        ("{path: /a/}", "{path: /a/b/}"),
        ("{path: /a}", "{path: /a}"),
        ("{path: ~^/a}", "{path: ~^/a, methods: [GET]}"),
        ("{}", "{path: ~^/a}"),
        ("{path: /}", "{host: h}"),
        ("{host: h}", "{host: H, path: /x}"),
        ("{methods: [GET, POST]}", "{methods: [GET]}"),
        ("{host: '*.a.com'}", "{host: [x.a.com, '*.y.a.com', '*.a.com']}"),
        ("{path: [/a/, /b]}", "{path: [/b, /a/c, /a/d/]}"),
        ("{headers: {x: true}}", "{headers: {X: true, y: '1'}}"),
        ("{query: {q: ~^1}}", "{query: {q: ~^1}, path: /x}"),
        ("{client: [10.0.0.0/8, 'unix:']}", "{client: ['unix:'], path: /x}"),
    ],
)
def test_a_route_that_can_never_match_is_warned_about(load: Load, earlier: str, later: str) -> None:
    """
    Not an error: a file may be half way through a change. But somebody should know.
    """
    (warning,) = load(routes(earlier, later)).warnings

    assert warning.endswith(
        "/p.yaml:5:9: listeners[0].routes[1]: never matches, "
        "because listeners[0].routes[0] takes all of its requests"
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{path: /a/}", "{path: /a}"),
        ("{path: /a}", "{path: /a/}"),
        ("{path: /a}", "{path: /ab}"),
        ("{host: h}", "{}"),
        ("{host: h}", "{host: g}"),
        ("{methods: [GET]}", "{}"),
        ("{methods: [GET]}", "{methods: [GET, POST]}"),
        ("{path: ~^/}", "{path: /x}"),
        ("{path: /a/}", "{path: ~^/a/}"),
        ("{host: '*.a.com'}", "{host: [x.a.com, a.com]}"),
        ("{host: x.a.com}", "{host: '*.a.com'}"),
        ("{path: [/a/, /b]}", "{path: [/b, /c]}"),
        ("{headers: {x: true}}", "{headers: {x: '1'}}"),
        ("{headers: {x: '1'}}", "{}"),
        ("{query: {q: '1'}}", "{query: {q: '2'}}"),
        ("{client: [10.0.0.0/8]}", "{}"),
        ("{client: [10.0.0.0/8]}", "{client: [10.0.0.0/8, 192.0.2.1]}"),
    ],
)
def test_a_route_that_may_match_is_not(load: Load, earlier: str, later: str) -> None:
    """
    A warning that is wrong once is never read again.
    """
    assert load(routes(earlier, later)).warnings == ()


def tls(cert: str, key: str) -> str:
    certificate = f"{{cert: {cert}, key: {key}}}"
    return (
        "listeners:\n  - bind: :80\n    routes: [{app: 'a:b'}]\n"
        f"    tls:\n      certificates: [{certificate}]\n"
    )


def test_a_certificate_that_can_be_served_passes(load: Load, pem: dict[str, str]) -> None:
    """
    The chain and its key, also when both are in one file.
    """
    both = Path(pem["cert"]).with_name("both.pem")
    both.write_text(Path(pem["cert"]).read_text() + Path(pem["key"]).read_text())

    for cert, key in ((pem["cert"], pem["key"]), (str(both), str(both))):
        (certificate,) = load(tls(cert, key)).config.listeners[0].tls.certificates  # type: ignore[union-attr]
        assert (certificate.cert, certificate.key) == (cert, key)


@pytest.mark.parametrize(
    ("pair", "place", "told"),
    [
        ("cert missing", "key", "expected a PEM file: no such file"),
        ("missing key", "cert", "expected a PEM file: no such file"),
        (". key", "cert", "expected a PEM file: it is not a regular file"),
        ("text key", "cert", "expected a certificate in PEM"),
        ("empty key", "cert", "expected a certificate in PEM"),
        ("key key", "cert", "expected a certificate in PEM"),
        ("cert text", "key", "expected a private key in PEM"),
        ("cert cert", "key", "expected a private key in PEM"),
        ("cert other", "key", "which is not the key of the certificate"),
        ("cert locked", "key", "a private key with a password, expected 'password' beside it"),
    ],
)
def test_a_certificate_that_cannot_be_served_is_told_at_its_line(
    faults: Faults, pem: dict[str, str], pair: str, place: str, told: str
) -> None:
    """
    Before anything binds, and without asking for a passphrase on the terminal.
    """
    directory = Path(pem["cert"]).parent
    (directory / "text.pem").write_text("hello\n")
    (directory / "empty.pem").write_text("")
    paths = (
        pem
        | {name: str(directory / f"{name}.pem") for name in ("missing", "text", "empty")}
        | {".": str(directory)}
    )

    cert, key = pair.split()
    (found,) = faults(tls(paths[cert], paths[key]))

    assert found.startswith("5:")
    assert f"listeners[0].tls.certificates[0].{place}: found" in found
    assert told in found


def test_a_key_that_may_not_be_read_is_told(faults: Faults, pem: dict[str, str], tmp_path: Path) -> None:
    """
    A symlink into nothing; permissions cannot be tried as root.
    """
    link = tmp_path / "link.pem"
    link.symlink_to("/nonexistent/key.pem")

    (found,) = faults(tls(pem["cert"], str(link)))

    assert "no such file" in found


def tcp(bind: str, options: str) -> str:
    return f"listeners:\n  - bind: '{bind}'\n    tcp: {options}\n    routes: [{{app: 'a:b'}}]\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{}", Tcp()),
        ("{defer_accept: 5s, fastopen: 64}", Tcp(defer_accept_s=5.0, fastopen=64)),
        ("{keepalive: none}", Tcp(keepalive=None)),
        ("{keepalive: {idle: 1m}}", Tcp(keepalive=Keepalive(idle_s=60.0))),
        ("{defer_accept: none, fastopen: none}", Tcp()),
    ],
)
def test_tcp_options_are_those_of_a_listener(load: Load, options: str, expected: Tcp) -> None:
    """
    Those that are left out have their defaults.
    """
    assert load(tcp(":80", options)).config.listeners[0].tcp_options == expected


def test_without_tcp_options_only_our_own_sockets_get_the_defaults(load: Load) -> None:
    """
    A UNIX socket has none, and an inherited one keeps what it came with.
    """
    config = load(listeners(":80", "unix:/x", "fd:3")).config
    assert [each.tcp_options for each in config.listeners] == [Tcp(), None, None]


@pytest.mark.parametrize(
    ("bind", "options", "told"),
    [
        ("unix:/x", "{}", "3:10: listeners[0].tcp: found TCP options for 'unix:/x', expected a TCP address"),
        (":80", "{defer_accept: 500ms}", "defer_accept: found 500ms, expected whole seconds from 1s to 2m"),
        (":80", "{defer_accept: 1h}", "defer_accept: found 1h, expected whole seconds from 1s to 2m"),
        (":80", "{keepalive: {idle: 0s}}", "idle: found 0s, expected whole seconds from 1s to 32767s"),
        (":80", "{keepalive: {interval: 1.5s}}", "found 1500ms, expected whole seconds from 1s to 32767s"),
        (":80", "{keepalive: {count: 128}}", "count: found '128', expected an integer from 1 to 127"),
        (":80", "{fastopen: 0}", "fastopen: found '0', expected an integer from 1 to 2147483647"),
        (":80", "{keepalive: off}", "expected a mapping with idle, interval or count; write none"),
        (":80", "{nodelay: false}", "found the key 'nodelay', expected defer_accept, fastopen or keepalive"),
    ],
)
def test_tcp_options_that_cannot_be_are_told(faults: Faults, bind: str, options: str, told: str) -> None:
    """
    The kernel would round them, or refuse them with a number.
    """
    (found,) = faults(tcp(bind, options))
    assert told in found


@pytest.mark.parametrize("account", ["user: '65534'", "group: '65534'", "user: root\ngroup: '65534'"])
def test_preload_is_refused_where_it_would_run_as_root(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    """
    The import is the app's code, and `user` says that it is not to have the master's rights.
    """
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert faults(f"preload: true\n{account}\n{listeners(':80')}") == [
        "1:10: preload: found true beside a user or group, expected one of them: the import would run as root"
    ]


def test_preload_goes_with_a_user_that_it_is_already(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Then nothing is dropped; and without root nothing can be, which is told elsewhere.
    """
    us = f"user: '{os.getuid()}'\ngroup: '{os.getgid()}'\n"
    assert load(f"preload: true\n{us}{listeners(':80')}").config.preload
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load(f"preload: true\nuser: '65534'\n{listeners(':80')}").config.preload


@pytest.mark.parametrize("compression", ["true", "{min_size: 1KiB}", "none"])
def test_compression_of_what_servers_send_is_warned_about(load: Load, compression: str) -> None:
    """
    It is theirs: whoever asked for it here would wait for it in vain.
    """
    text = f"listeners: [{{bind: ':80', routes: [{{proxy: 'a:1', compression: {compression}}}]}}]\n"
    warnings = load(text).warnings

    assert len(warnings) == (compression != "none")
    assert all("means nothing beside 'proxy'" in each for each in warnings)
