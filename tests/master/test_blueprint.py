"""What workers are told is what the config says, with a word of shared memory for each number."""

import grp
import os
import pwd
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from penstock.master.blueprint import Account, account_of, build_spec, tls_contexts
from penstock.master.config.header_changes import HeaderChanges
from penstock.master.config.listener import Limits, Listener
from penstock.master.config.model import Config
from penstock.master.config.redirect import Redirect, Replace, Rewrite
from penstock.master.config.route import Match, Respond, Route, Variant
from penstock.master.config.telling import Access, Log, RequestId
from penstock.master.config.tls import Certificate, Tls
from penstock.shm import histogram, names
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.shm.series import SeriesFull, SeriesTable
from penstock.worker.spec import (
    AppAction,
    EditsSpec,
    HeaderEdit,
    ListenerSpec,
    MatchSpec,
    RedirectAction,
    RequestIdSpec,
    RespondAction,
    RewriteSpec,
    RouteCells,
    SplitAction,
    WorkerSpec,
)

PEM = Path(__file__).parent / "config" / "pem"

APP = Route(name="shop", match=Match(path="/shop/"), app="shop:app", factory=True)
FIXED = Route(
    match=Match(host="a.example", path="/x", methods=frozenset({"GET"})), respond=Respond(body="hé")
)
WEB = Listener(name="web", bind="127.0.0.1:8080", routes=(APP, FIXED))
CONFIG = Config(listeners=(WEB,))


@pytest.fixture
def series() -> Iterator[SeriesTable]:
    segment = Segment.create(Geometry(row_count=8))
    yield segment.series
    segment.close()


def spec_of(config: Config, series: SeriesTable, *, generation: int = 1) -> WorkerSpec:
    return build_spec(config, series, name="test", generation=generation, account=Account())


def words(spec: ListenerSpec) -> list[int]:
    """List every word that a listener's numbers take, as often as it is told of."""
    taken = [int(word) for word in msgspec.structs.astuple(spec.cells)]
    for cells in (spec.unmatched, *(route.cells for route in spec.routes)):
        taken += range(cells.requests, cells.requests + 4)
        taken += range(cells.duration, cells.duration + histogram.WORD_COUNT)
    return taken


def test_the_spec_says_what_the_config_says(series: SeriesTable) -> None:
    config = msgspec.structs.replace(
        CONFIG,
        drain_timeout_s=7.0,
        stream_drain_timeout_s=3.0,
        app_dir="/srv",
        root_path="/api",
        lifespan="off",
        log=Log(level="debug", path="/var/log/x", config={"version": 1}),
    )
    account = Account(uid=12, gid=34, groups=(56,))

    spec = build_spec(config, series, name="shop", generation=3, account=account)

    assert (spec.name, spec.generation, spec.uid, spec.gid) == ("shop", 3, 12, 34)
    assert (spec.drain_timeout_s, spec.stream_drain_timeout_s) == (7.0, 3.0)
    assert (spec.app_dir, spec.root_path, spec.lifespan) == ("/srv", "/api", "off")
    assert (spec.log.level, spec.log.path, spec.log.dict_config) == ("debug", "/var/log/x", {"version": 1})
    assert [listener.name for listener in spec.listeners] == ["web"]
    assert spec.listeners[0].address == "127.0.0.1:8080"


def test_routes_keep_their_order_and_say_what_to_do(series: SeriesTable) -> None:
    """The first match wins, so order is meaning."""
    app, fixed = spec_of(CONFIG, series).listeners[0].routes

    assert app.name == "shop"
    assert app.match == MatchSpec(path="/shop/")
    assert app.action == AppAction(target="shop:app", factory=True)
    assert fixed.name == "/x"
    assert fixed.match == MatchSpec(host="a.example", path="/x", methods=frozenset({"GET"}))
    assert fixed.action == RespondAction(
        headers=(("content-type", "text/plain; charset=utf-8"),), body="hé".encode()
    )


def test_every_limit_is_passed_on(series: SeriesTable) -> None:
    """Each to its own: two that were swapped would both look right alone."""
    limits = Limits(
        header_bytes=1,
        header_count=2,
        body_bytes=3,
        header_timeout_s=4.0,
        body_timeout_s=5.0,
        body_rate=6,
        keep_alive_timeout_s=7.0,
        send_timeout_s=8.0,
        concurrency=9,
        queue_timeout_s=10.0,
    )
    config = Config(listeners=(msgspec.structs.replace(WEB, limits=limits),))

    passed = spec_of(config, series).listeners[0].limits

    assert msgspec.structs.astuple(passed) == (1, 2, 3, 4.0, 5.0, 6, 7.0, 8.0, 9, 10.0)


def test_the_defaults_of_both_sides_agree(series: SeriesTable) -> None:
    spec = spec_of(CONFIG, series).listeners[0]

    assert spec.limits == type(spec.limits)()
    assert spec.backlog == ListenerSpec.__struct_defaults__[1]


def test_no_word_is_counted_in_by_two(series: SeriesTable) -> None:
    other = msgspec.structs.replace(WEB, name="other", bind="127.0.0.1:8081")
    web, second = spec_of(Config(listeners=(WEB, other)), series).listeners

    taken = words(web) + words(second)
    assert len(set(taken)) == len(taken)


def test_routes_of_one_label_share_their_words(series: SeriesTable) -> None:
    """`route` is a label: two rules with the same name are one line in the metrics."""
    twin = msgspec.structs.replace(FIXED, name="shop")
    web = spec_of(Config(listeners=(msgspec.structs.replace(WEB, routes=(APP, twin)),)), series).listeners[0]

    assert web.routes[0].cells == web.routes[1].cells
    assert web.unmatched != web.routes[0].cells


def test_the_words_are_the_ones_that_the_table_names(series: SeriesTable) -> None:
    web = spec_of(CONFIG, series).listeners[0]

    named = {(each.name, each.labels): each.first for each in series.entries()}
    route = (("listener", "web"), ("route", "shop"))
    assert web.routes[0].cells == RouteCells(
        requests=named["penstock_requests_total", (*route, ("code", "2xx"))],
        duration=named["penstock_request_duration_seconds", route],
    )
    states = [
        named["penstock_connections", (("listener", "web"), ("state", state))] for state in ("active", "idle")
    ]
    assert [web.cells.connections_active, web.cells.connections_idle] == states
    assert ("penstock_requests_total", (("listener", "web"), ("route", "-"), ("code", "5xx"))) in named


def test_a_later_generation_counts_on_in_the_same_words(series: SeriesTable) -> None:
    """Also when a route was gone in between."""
    before = spec_of(CONFIG, series)
    spec_of(Config(listeners=(msgspec.structs.replace(WEB, routes=(FIXED,)),)), series, generation=2)
    after = spec_of(CONFIG, series, generation=3)

    assert after.listeners == before.listeners


def test_too_many_routes_to_count_are_refused() -> None:
    """Nobody should learn from a missing line on /metrics."""
    segment = Segment.create(Geometry(row_count=8, cell_count=2048))
    with pytest.raises(SeriesFull):
        spec_of(CONFIG, segment.series)
    segment.close()


# Accounts.


def test_without_user_and_group_nothing_changes() -> None:
    assert account_of(CONFIG) == Account()


def test_the_account_that_we_have_needs_no_change() -> None:
    """A user who starts the server as himself may not call setuid at all."""
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name

    assert account_of(msgspec.structs.replace(CONFIG, user=user, group=group)) == Account()
    assert account_of(msgspec.structs.replace(CONFIG, user=str(os.getuid()))) == Account()
    assert account_of(msgspec.structs.replace(CONFIG, group=str(os.getgid()))) == Account()


def test_a_user_brings_its_own_groups() -> None:
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid != os.getuid())
    groups = tuple(os.getgrouplist(other.pw_name, other.pw_gid))

    expected = Account(other.pw_uid, other.pw_gid, groups)
    assert account_of(msgspec.structs.replace(CONFIG, user=other.pw_name)) == expected


def test_a_number_without_an_entry_has_no_groups() -> None:
    """As containers have them."""
    config = msgspec.structs.replace(CONFIG, user="4000000001", group="4000000002")

    assert account_of(config) == Account(4000000001, 4000000002, ())
    assert replace(account_of(config), gid=None) == Account(4000000001)


def test_a_user_that_has_gone_since_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        account_of(msgspec.structs.replace(CONFIG, user="no-such-user-here"))


# Certificates.


def secure(cert: str, key: str, *, min_version: str = "1.2") -> Config:
    tls = Tls(
        certificates=(Certificate(cert=str(PEM / cert), key=str(PEM / key)),),
        min_version="1.3" if min_version == "1.3" else "1.2",
    )
    return Config(listeners=(WEB, msgspec.structs.replace(WEB, name="tls", bind=":8443", tls=tls)))


@pytest.mark.parametrize(
    ("min_version", "oldest"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)]
)
def test_a_context_is_made_for_each_listener_with_certificates(
    min_version: str, oldest: ssl.TLSVersion
) -> None:
    contexts = tls_contexts(secure("cert.pem", "key.pem", min_version=min_version))

    assert len(contexts) == 1
    assert contexts["tls"].minimum_version == oldest


def test_a_handshake_agrees_on_http() -> None:
    """In memory: the server's context against a client that offers HTTP/2 as well."""
    server_side = tls_contexts(secure("cert.pem", "key.pem"))["tls"]
    client_side = ssl.create_default_context()
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE
    client_side.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"
    assert client.version() == "TLSv1.3"


def test_a_key_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ssl.SSLError):
        tls_contexts(secure("cert.pem", "other.pem"))


def test_a_certificate_that_has_gone_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        tls_contexts(secure("gone.pem", "key.pem"))


def test_rejected_connections_are_counted_where_a_header_is_awaited(series: SeriesTable) -> None:
    """
    A listener that awaits none has no such numbers.
    """
    assert spec_of(CONFIG, series).listeners[0].proxy_protocol is None
    before = len(series.entries())
    told = spec_of(Config(listeners=(msgspec.structs.replace(WEB, proxy_protocol=True),)), series)
    wanted = told.listeners[0].proxy_protocol
    assert wanted is not None
    assert wanted.trusted == WEB.trusted_proxies
    assert len(series.entries()) == before + len(names.PROXY_REJECTIONS)


def test_access_log_and_request_ids_are_passed_on(series: SeriesTable) -> None:
    """
    With a word that counts what was dropped, the same one in every generation.
    """
    config = msgspec.structs.replace(
        CONFIG,
        log=Log(access=Access(path="/a", format="json", redact=("query",), exclude=("/x/",))),
        request_id=RequestId(header="X-Trace", trust=False),
    )

    spec, later = spec_of(config, series), spec_of(config, series, generation=2)

    assert spec.access is not None
    assert later.access == spec.access
    assert msgspec.structs.astuple(spec.access)[:4] == ("/a", "json", ("query",), ("/x/",))
    assert spec.access.dropped not in words(spec.listeners[0])
    assert spec.request_id == RequestIdSpec(header="X-Trace", trust=False)
    assert (spec_of(CONFIG, series).access, spec_of(CONFIG, series).request_id) == (None, None)


def test_what_is_changed_is_summed_up_from_listener_route_and_variant(series: SeriesTable) -> None:
    """
    What is nearer to the action comes later; of rewrites the nearest one counts.
    """
    first, second, third = (HeaderChanges(set_={"x-a": text}) for text in "123")
    split = Route(
        name="s",
        match=Match(path=("/a/", "/b"), headers={"x-flag": True}, query={"q": "~1"}, client=("10.0.0.0/8",)),
        request_headers=second,
        rewrite=Rewrite(strip_prefix="/a"),
        split_by="cookie:c",
        split=(
            Variant(weight=3, app="a:b", request_headers=third),
            Variant(
                weight=1,
                name="n",
                redirect=Redirect(to="/x"),
                rewrite=Rewrite(replace=Replace(regex="a", to="b")),
            ),
        ),
    )
    listener = msgspec.structs.replace(WEB, routes=(split,), request_headers=first)
    [spec] = spec_of(Config(listeners=(listener,)), series).listeners
    [route] = spec.routes
    assert isinstance(route.action, SplitAction)
    (_, one), (_, two) = route.action.variants
    sets: list[HeaderEdit] = [("set", "x-a", text) for text in "123"]

    assert route.match == MatchSpec(
        path=("/a/", "/b"), headers=(("x-flag", True),), query=(("q", "~1"),), client=("10.0.0.0/8",)
    )
    assert route.action.key == "cookie:c"
    assert [weight for weight, _ in route.action.variants] == [3, 1]
    assert (one.name, one.action) == ("s#1", AppAction(target="a:b"))
    assert (two.name, two.action) == ("n", RedirectAction(to="/x"))
    assert one.edits == EditsSpec(rewrite=RewriteSpec(strip_prefix="/a"), request=tuple(sets))
    assert two.edits == EditsSpec(rewrite=RewriteSpec(replace=("a", "b")), request=tuple(sets[:2]))
    assert spec.leaves == (one, two)
    assert one.cells != two.cells
