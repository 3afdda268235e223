"""What a route makes of a request and its response, on a real site."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.http.connection import Connection
from penstock.worker.http.request_ids import RequestIds
from penstock.worker.spec import (
    EditsSpec,
    FilesAction,
    HeaderEdit,
    MatchSpec,
    ProxiesSpec,
    RedirectAction,
    RequestIdSpec,
    RespondAction,
    RewriteSpec,
    RouteSpec,
    SplitAction,
    WebSocketSpec,
)
from tests.worker.http.conftest import ACTION, ROUTE, UNMATCHED, Serve

SEEN = RespondAction(body=b"seen")


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = "".join(f"{each}\r\n" for each in headers)
    return f"{method} {path} HTTP/1.1\r\nHost: A.example:80\r\n{lines}\r\n".encode()


def route(
    action: Any = ACTION, edits: EditsSpec | None = None, name: str = "route", **match: Any
) -> RouteSpec:
    return RouteSpec(name=name, match=MatchSpec(**match), action=action, cells=ROUTE, edits=edits)


class App:
    """Keeps the scopes that it was called with."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": [(b"x-app", b"1")]})
            await send({"type": "websocket.close"})
            return
        headers = [(b"x-app", b"1"), (b"X-Powered-By", b"me")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"app"})


def changing(*request: HeaderEdit, response: tuple[HeaderEdit, ...] = ()) -> EditsSpec:
    return EditsSpec(request=request, response=response)


async def test_a_site_that_asks_for_nothing_new_knows_nothing_of_a_dispatch(serve: Serve) -> None:
    """
    Its connections are of the plain class, and nobody opens its exchanges.
    """
    redirect = route(RedirectAction(to="/x"), path="/old")
    for routes in ([route()], [route(path="/a"), route(host="*.b", path=("/a", "/b/"))], [redirect, route()]):
        async with serve(App(), routes=routes) as serving:
            assert serving.site.dispatch is None
            assert serving.site.openings == ()
            assert type(serving.site.connect()) is Connection
    for one in (route(headers=(("x", True),)), route(edits=changing(("remove", "x", "")))):
        async with serve(App(), routes=[one]) as serving:
            assert serving.site.dispatch is not None


async def test_headers_queries_and_clients_choose_the_route(serve: Serve) -> None:
    """
    The first that takes all of a request; what nobody takes is 404, and 405 if only the method is wrong.
    """
    routes = [
        route(RespondAction(body=b"flag"), headers=(("X-Flag", "1"), ("x-not", False))),
        route(RespondAction(body=b"query"), query=(("q", "~^[0-9]+$"),)),
        route(RespondAction(body=b"nobody"), client=("192.0.2.0/24",)),
        route(RespondAction(body=b"put"), headers=(("x-put", True),), methods=frozenset({"PUT"})),
        route(RespondAction(body=b"client"), client=("127.0.0.0/8",), path="/c"),
    ]
    async with serve(routes=routes) as serving:
        asked = [
            get("/", "X-Flag: 1"),
            get("/", "X-Flag: 2", "x-flag: 1"),
            get("/?q=%31%32"),
            get("/c?q=1x"),
            get("http://a.example/c"),
            get("/", "X-Flag: 1", "X-Not: y"),
            get("/", "X-Put: y"),
            get("/c", "X-Put: y", method="DELETE"),
        ]
        found = await serving.ask(b"".join(asked[:4]) + get("/c", "X-Put: "))
        assert [each.body for each in found] == [b"flag", b"flag", b"query", b"client", b"client"]
        found = [(await serving.ask(each))[0] for each in asked[5:]]
        assert [each.status for each in found] == [404, 405, 200]
        assert found[1].headers["allow"] == "PUT"
    assert serving.cells[UNMATCHED.requests + 2] == 2


async def test_the_client_is_the_one_that_a_trusted_proxy_tells_of(serve: Serve) -> None:
    """
    And nobody else: else any client could say that it comes from within.
    """
    routes = [
        route(RespondAction(body=b"inside"), client=("10.0.0.0/8",)),
        route(RespondAction(body=b"outside")),
    ]
    for trusted, expected in ((("127.0.0.1",), [b"inside", b"outside", b"inside"]), ((), [b"outside"] * 3)):
        async with serve(routes=routes, proxies=ProxiesSpec(trusted=trusted)) as serving:
            requests = get("/", "X-Forwarded-For: 10.1.1.1"), get("/"), get("/", "X-Forwarded-For: 10.1.1.1")
            assert [each.body for each in await serving.ask(b"".join(requests))] == expected


async def test_a_client_without_a_name_is_unix(serve: Serve, tmp_path: Path) -> None:
    """
    Whoever comes by a UNIX socket.
    """
    routes = [route(RespondAction(body=b"local"), client=("unix:",)), route(RespondAction(body=b"other"))]
    async with serve(routes=routes, path=str(tmp_path / "s")) as serving:
        assert (await serving.ask(get("/")))[0].body == b"local"
    async with serve(routes=routes) as serving:
        assert (await serving.ask(get("/")))[0].body == b"other"


@pytest.mark.parametrize(
    ("target", "status"),
    [("/a#b", 400), ("x", 400), ("http://other.example/", 400), ("https://a.example:80/", 421)],
)
async def test_a_target_that_is_none_is_refused_as_ever(serve: Serve, target: str, status: int) -> None:
    """
    A dispatch looks at it first, and leaves the telling to the connection.
    """
    async with serve(routes=[route(SEEN, headers=(("x", False),))]) as serving:
        assert [each.status for each in await serving.ask(get(target))] == [status]


async def test_an_old_client_with_a_whole_url_has_one_host(serve: Serve) -> None:
    """
    It is put into the headers once.
    """
    app = App()
    async with serve(app, routes=[route(edits=changing(("set", "x-host", "{authority}")))]) as serving:
        await serving.ask(b"GET http://h.example:81/ HTTP/1.0\r\n\r\n")
    assert app.scopes[0]["headers"] == [(b"host", b"h.example:81"), (b"x-host", b"h.example:81")]


# Redirects.


@pytest.mark.parametrize(
    ("to", "match", "target", "location"),
    [
        ("/new/{rest}", {"path": "/old/"}, "/old/a%2Fb?x=1", "/new/a%2Fb?x=1"),
        ("/new?a=b", {"path": "/old/"}, "/old/?x=1", "/new?a=b"),
        ("/new#top", {}, "/?x=1", "/new?x=1#top"),
        ("/{rest}", {"path": "/old/"}, "/old//evil.example", "/evil.example"),
        ("/{rest}", {"path": "/old/"}, "/old/\\evil.example", "/%5Cevil.example"),
        ("{path}", {}, "//evil.example/x", "/evil.example/x"),
        ("/{1}", {"path": "~^/o(.*)$"}, "/o//evil.example", "/evil.example"),
        ("https://{host}{path}", {}, "/a?b", "https://a.example/a?b"),
        ("https://{authority}/x?p={path}&{query}", {}, "/a?b", "https://A.example:80/x?p=/a&b"),
        ("https://b.example/{rest}", {"path": ("/o/", "/")}, "/o/%0d%0ax", "https://b.example/%0d%0ax"),
        ("{scheme}://b.example/{method}/{client}/{route}", {}, "/", "http://b.example/GET/127.0.0.1/route"),
        ("/ä", {}, "/", "/%C3%A4"),
    ],
)  # fmt: skip
async def test_a_client_is_sent_elsewhere(
    serve: Serve, to: str, match: dict[str, Any], target: str, location: str
) -> None:
    """
    And to no other host than was written there, whatever it sends.
    """
    async with serve(routes=[route(RedirectAction(to=to, code=308), **match)]) as serving:
        [response] = await serving.ask(get(target))
    assert (response.status, response.headers["location"], response.body) == (308, location, b"")


async def test_a_redirect_knows_the_root_path(serve: Serve) -> None:
    """
    The path as the client knows it, and the rest as the route took it.
    """
    routes = [route(RedirectAction(to="/s/new/{rest}?was={path}"), path="/old/")]
    async with serve(routes=routes, root_path="/s") as serving:
        [response] = await serving.ask(get("/old/x"))
    assert response.headers["location"] == "/s/new/x?was=/s/old/x"


# Edits.


async def test_an_app_gets_a_changed_request_and_its_client_a_changed_response(serve: Serve) -> None:
    """
    Removed, set and added; by templates, with an id that was given before.
    """
    app = App()
    edits = changing(
        ("remove", "X-Secret", ""),
        ("set", "Host", "internal"),
        ("set", "x-id", "{request_id}"),
        ("add", "x-a", "{client} {path}?{query}"),
        response=(
            ("remove", "x-powered-by", ""),
            ("set", "x-app", "{host}"),
            ("add", "x-more", "1"),
            ("remove", "x-request-id", ""),
        ),
    )
    async with serve(app, routes=[route(edits=edits)]) as serving:
        serving.site.watch_requests(opening=RequestIds(RequestIdSpec(header="X-Request-ID")).open)
        [response] = await serving.ask(
            get("/p%20q?r", "X-Secret: 1", "x-secret: 2", "X-A: 0", "X-Request-ID: mine")
        )
    assert app.scopes[0]["headers"] == [
        (b"x-a", b"0"),
        (b"x-request-id", b"mine"),
        (b"host", b"internal"),
        (b"x-id", b"mine"),
        (b"x-a", b"127.0.0.1 /p%20q?r"),
    ]
    assert {name: value for name, value in response.headers.items() if name[:2] == "x-"} == {
        "x-app": "a.example",
        "x-more": "1",
    }


async def test_a_level_that_is_nearer_has_the_last_word(serve: Serve) -> None:
    """
    What a listener adds a route may take away again.
    """
    app = App()
    edits = changing(("add", "x-a", "1"), ("add", "x-b", "1"), ("remove", "x-a", ""), ("set", "x-b", "2"))
    async with serve(app, routes=[route(edits=edits)]) as serving:
        await serving.ask(get("/", "X-B: 0"))
    assert app.scopes[0]["headers"][1:] == [(b"x-b", b"2")]


@pytest.mark.parametrize("target", ["/r", "/e", "/f/a.txt", "/f/none"])
async def test_answers_without_an_app_are_changed_as_well(serve: Serve, target: str, tmp_path: Path) -> None:
    """
    Fixed ones, redirects and files.
    """
    (tmp_path / "a.txt").write_text("file")
    edits = changing(("set", "x-a", "1"), response=(("set", "x-b", "{path}"), ("remove", "etag", "")))
    routes = [
        route(RedirectAction(to="/x"), edits, path="/e"),
        route(FilesAction(root=str(tmp_path)), edits, path="/f/"),
        route(SEEN, edits),
    ]
    async with serve(routes=routes) as serving:
        [response] = await serving.ask(get(target))
    assert response.headers["x-b"] == target
    assert "etag" not in response.headers


async def test_files_are_found_by_the_rewritten_path(serve: Serve, tmp_path: Path) -> None:
    """
    And a folder without its slash is redirected to where the client finds it.
    """
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "index.html").write_text("index")
    edits = EditsSpec(rewrite=RewriteSpec(strip_prefix="/static/v1"))
    routes = [route(FilesAction(root=str(tmp_path)), edits, path="/static/")]
    async with serve(routes=routes, root_path="/s") as serving:
        for path in ("/static/v1/d/", "/s/static/v1/d/"):
            responses = await serving.ask(get(path))
            assert [each.status for each in responses] == [200 if path[1] == "s" and path[2] == "t" else 404]
        [response] = await serving.ask(get("/static/v1/d?q"))
    assert response.headers["location"] == "/s/static/v1/d/?q"


async def test_an_app_is_mounted_below_what_is_stripped(serve: Serve) -> None:
    """
    Its framework takes the root path off; whoever looks at the request finds what the client asked for.
    """
    app = App()
    told: list[str] = []
    edits = EditsSpec(rewrite=RewriteSpec(strip_prefix="/api"))
    async with serve(app, routes=[route(edits=edits, path="/api/")], root_path="/s") as serving:
        serving.site.watch_requests(
            observer=lambda exchange, *_: told.append(exchange.describe().split(" (")[0])
        )
        await serving.ask(get("/api/x%2Fy?z"))
    scope = app.scopes[0]
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/s/api", "/s/api/x/y", b"/s/api/x%2Fy")
    assert told == ["GET /s/api/x%2Fy?z"]


@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2E/b", "/a/.", "/a/..%5Cb", "/a/%2E"])
async def test_a_path_with_dots_is_not_rewritten(serve: Serve, path: str) -> None:
    """
    It could lead out of where it is put.
    """
    app = App()
    edits = EditsSpec(rewrite=RewriteSpec(strip_prefix="/a", add_prefix="/public"))
    async with serve(app, routes=[route(edits=edits)]) as serving:
        assert [each.status for each in await serving.ask(get(path))] == [400]
    assert not app.scopes


async def test_a_websocket_is_changed_like_any_request(serve: Serve) -> None:
    """
    The request that the app sees, and the head that accepts it.
    """
    app = App()
    edits = EditsSpec(
        rewrite=RewriteSpec(replace=("^/ws/(.*)", "/{1}")),
        request=(("set", "x-a", "1"),),
        response=(("set", "x-b", "2"), ("remove", "x-app", "")),
    )
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Connection: upgrade", "Upgrade: websocket", key, "Sec-WebSocket-Version: 13")
    async with serve(app, routes=[route(edits=edits)], websocket=WebSocketSpec()) as serving:
        client = await serving.client()
        await client.send(get("/ws/chat", *upgrade))
        head = (await client.until(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 101 ")
    assert "\r\nx-b: 2\r\n" in head
    assert "x-app" not in head
    assert app.scopes[0]["path"] == "/chat"
    assert (b"x-a", b"1") in app.scopes[0]["headers"]


async def test_a_head_that_comes_again_is_as_it_was(serve: Serve) -> None:
    """
    Heads are remembered, and what is changed of one is not to show in the next.
    """
    app = App()
    async with serve(app, routes=[route(edits=changing(("add", "x-a", "1")))]) as serving:
        await serving.ask(get("/") * 5)
    assert [[name for name, _ in scope["headers"]] for scope in app.scopes] == [[b"host", b"x-a"]] * 5


# Shares.


def variants(*weights: int, key: str = "header:x-user", edits: EditsSpec | None = None) -> SplitAction:
    return SplitAction(
        key=key,
        variants=tuple(
            (weight, route(RespondAction(body=b"%d" % index), edits, name=f"v{index}"))
            for index, weight in enumerate(weights)
        ),
    )


async def test_requests_are_shared_and_a_key_stays(serve: Serve) -> None:
    """
    Also for pipelined ones, and with the edits of the variant alone.
    """
    edits = changing(response=(("set", "x-v", "{route}"),))
    async with serve(routes=[route(variants(1, 1, edits=edits), path="/s"), route(SEEN)]) as serving:
        users = [f"X-User: u{number}" for number in range(40)]
        first = await serving.ask(b"".join(get("/s", user) for user in users))
        again = await serving.ask(b"".join(get("/s", user) for user in users))
        other = await serving.ask(get("/"))
    assert [each.body for each in first] == [each.body for each in again]
    assert {each.body for each in first} == {b"0", b"1"}
    assert all(each.headers["x-v"] == "v" + each.body.decode() for each in first)
    assert "x-v" not in other[0].headers


async def test_a_split_may_be_the_only_route(serve: Serve) -> None:
    """
    Then there is nothing to ask but the key.
    """
    async with serve(routes=[route(variants(0, 1))]) as serving:
        assert [each.body for each in await serving.ask(get("/", "X-User: a") * 3)] == [b"1"] * 3


async def test_an_app_behind_a_split_waits_at_the_gate(serve: Serve) -> None:
    """
    A variant is a route like any.
    """
    split = SplitAction(key="client", variants=((1, route(ACTION)),))
    async with serve(App(), routes=[route(split)], concurrency=1) as serving:
        assert serving.site.gate is not None
        assert [each.body for each in await serving.ask(get("/") * 2)] == [b"app"] * 2
        assert serving.site.gate.inside_count == 0


async def test_it_works_behind_tls(serve: Serve, certificate: tuple[Path, Path]) -> None:
    """
    Where connections are of another class, and an app is told of TLS.
    """
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    server.load_cert_chain(*certificate)
    client.load_verify_locations(certificate[0])
    routes = [route(RedirectAction(to="{scheme}://b.example/"), headers=(("x", True),))]
    async with serve(routes=routes, tls=server) as serving:
        name, port = serving.address
        reader, writer = await asyncio.open_connection(name, port, ssl=client, server_hostname="localhost")
        writer.write(get("/", "X: 1", "Connection: close"))
        head = await reader.read()
        writer.close()
    assert b"\r\nlocation: https://b.example/\r\n" in head
