"""What a file may say, each value read as its key wants it."""

from collections.abc import Callable

import pytest

from penstock.master.config import Config, Limits, Log, Match, Reading, Respond, Route

Load = Callable[..., Reading]

# Two lines that make any file whole.
LISTENERS = "listeners:\n  - {bind: ':80', routes: [{app: 'a:b'}]}\n"
# The beginning of a file whose one listener goes on at column 5.
LISTENER = "listeners:\n  - bind: :80\n"
ROUTES = LISTENER + "    routes:\n"


def test_everything_that_a_file_can_say(load: Load) -> None:
    """
    Every key, read as what it is; a key that is added needs a line here.
    """
    config = load(
        """
name: shop
workers: 3
pin: no
drain_timeout: 5m
stream_drain_timeout: 1m
admin: {bind: "[::1]:9000"}
control: /run/x.sock
pidfile: x.pid
user: 0
group: root
app_dir: src
root_path: /shop/
lifespan: on
log: {level: debug, path: x.log, config: {version: 1, n: [1, 2.5, true, null, "3", x]}}
listeners:
  - name: web
    bind: "unix:web.sock"
    protocol: http
    backlog: 5
    uds_permissions: 0660
    limits:
      header_bytes: 4KiB
      header_count: 20
      body_bytes: 1MB
      header_timeout: 1s
      body_timeout: 2s
      keep_alive_timeout: 0s
      send_timeout: 500ms
    routes:
      - name: first
        match: {host: API.Example.com, path: /v1/, methods: [GET, POST]}
        app: shop.main:make.app
        factory: true
      - respond: {status: 404, headers: {X-A: 1, X-B: [b, c]}, body: no}
"""
    ).config

    assert config == Config(
        name="shop",
        workers=3,
        pin=False,
        drain_timeout_s=300.0,
        stream_drain_timeout_s=60.0,
        admin=config.admin,
        control="/run/x.sock",
        pidfile="x.pid",
        user="0",
        group="root",
        app_dir="src",
        root_path="/shop",
        lifespan="on",
        log=Log(level="debug", path="x.log", config={"version": 1, "n": [1, 2.5, True, None, "3", "x"]}),
        listeners=config.listeners,
    )
    assert str(config.admin_address) == "[::1]:9000"
    (listener,) = config.listeners
    assert (listener.name, str(listener.address), listener.backlog) == ("web", "unix:web.sock", 5)
    assert listener.uds_permissions == 0o660
    assert listener.limits == Limits(
        header_bytes=4096,
        header_count=20,
        body_bytes=1_000_000,
        header_timeout_s=1.0,
        body_timeout_s=2.0,
        keep_alive_timeout_s=0.0,
        send_timeout_s=0.5,
    )
    assert listener.routes == (
        Route(
            name="first",
            match=Match(host="api.example.com", path="/v1/", methods=frozenset({"GET", "POST"})),
            app="shop.main:make.app",
            factory=True,
        ),
        Route(respond=Respond(status=404, headers={"X-A": "1", "X-B": ("b", "c")}, body="no")),
    )


@pytest.mark.parametrize(("drain", "stream_s"), [("2s", 2.0), ("5s", 5.0), ("1h", 5.0), ("0s", 0.0)])
def test_streams_end_within_a_short_drain_unless_told_otherwise(
    load: Load, drain: str, stream_s: float
) -> None:
    """
    Who shortens the one is not to be told of the other, which he never wrote.
    """
    assert load(f"drain_timeout: {drain}\n{LISTENERS}").config.stream_drain_timeout_s == stream_s


def test_what_is_left_out_has_its_default(load: Load) -> None:
    """
    The defaults that the documentation promises.
    """
    config = load(LISTENERS).config

    assert (config.workers, config.pin, config.drain_timeout_s) == ("auto", None, 30.0)
    assert config.stream_drain_timeout_s == 5.0
    assert (config.worker_suspect_timeout_s, config.worker_timeout_s) == (1.0, 60.0)
    assert str(config.admin_address) == "127.0.0.1:9180"
    assert config.admin_is_default
    (listener,) = config.listeners
    assert (listener.name, listener.backlog, listener.uds_permissions) == ("0.0.0.0:80", 2048, None)
    assert listener.limits == Limits(
        header_bytes=16384,
        header_count=100,
        body_bytes=None,
        header_timeout_s=10.0,
        body_timeout_s=30.0,
        keep_alive_timeout_s=75.0,
        send_timeout_s=60.0,
    )
    assert listener.routes[0].label == "/"


@pytest.mark.parametrize("text", ["admin: none", "admin: null", "admin: {bind: none}"])
def test_the_admin_endpoint_can_be_closed(load: Load, text: str) -> None:
    """
    None at all is not the same as nobody said.
    """
    config = load(f"{text}\n{LISTENERS}").config

    assert config.admin_address is None
    assert not config.admin_is_default


def test_an_admin_address_asked_for_by_name_is_not_the_default(load: Load) -> None:
    """
    Only the default may give way to the next free port, even where the addresses are equal.
    """
    assert not load(f"admin: {{bind: 127.0.0.1:9180}}\n{LISTENERS}").config.admin_is_default
    assert load(f"admin: {{}}\n{LISTENERS}").config.admin_is_default


@pytest.mark.parametrize(
    ("route", "label"),
    [
        ("{app: 'a:b'}", "/"),
        ("{match: {path: /x}, app: 'a:b'}", "/x"),
        ("{match: {path: '~^/x'}, app: 'a:b'}", "~^/x"),
        ("{name: n, match: {path: /x}, app: 'a:b'}", "n"),
    ],
)
def test_a_route_is_called_by_its_name_or_its_path(load: Load, route: str, label: str) -> None:
    """
    What the metrics have in their `route` label.
    """
    config = load(f"{ROUTES}      - {route}\n").config

    assert config.listeners[0].routes[0].label == label


def test_a_fixed_response_says_what_it_is() -> None:
    """
    A body without a type is text; an operator who gives a type knows better.
    """
    assert Respond(body="x").header_pairs() == (("content-type", "text/plain; charset=utf-8"),)
    assert Respond(body="x", headers={"Content-Type": "a/b"}).header_pairs() == (("Content-Type", "a/b"),)
    assert Respond(headers={"A": ("1", "2")}).header_pairs() == (("A", "1"), ("A", "2"))


def test_a_listener_can_share_what_another_has(load: Load) -> None:
    """
    Anchors and aliases, for whole values.
    """
    config = load(
        "listeners:\n"
        "  - {bind: ':80', limits: &strict {header_count: 7}, routes: &routes [{app: 'a:b'}]}\n"
        "  - {bind: 'unix:x', limits: *strict, routes: *routes}\n"
    ).config

    assert [each.limits.header_count for each in config.listeners] == [7, 7]
    assert config.listeners[0].routes == config.listeners[1].routes


def test_words_that_yaml_would_take_for_something_else_stay_words(load: Load) -> None:
    """
    A server in Norway may be called `no`, and a version may be 1.10.
    """
    config = load(
        f"name: no\n{ROUTES}      - {{name: 1.10, respond: {{body: 0x10, headers: {{a: yes}}}}}}\n"
    ).config

    assert config.name == "no"
    assert config.listeners[0].routes[0].name == "1.10"
    assert config.listeners[0].routes[0].respond == Respond(body="0x10", headers={"a": "yes"})
