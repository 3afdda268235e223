"""Paths with a part "." or "..", of which a server would make another than the one that chose the route."""

import posixpath
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway import native
from penstock.worker.gateway.errand import tail_of
from penstock.worker.http.raw_paths import has_dot_segment
from penstock.worker.http.target import split_target
from penstock.worker.spec import EditsSpec, MatchSpec, RewriteSpec, RouteSpec
from tests.worker.gateway.conftest import TO_BACKEND, Backend
from tests.worker.gateway.test_edited import hello
from tests.worker.gateway.test_relay import TERMS, in_c
from tests.worker.http.conftest import ROUTE

REFUSED = (
    b"/public/../admin|/public/..|/public/./admin|/public/.|/..|/./public/x|/public/%2e%2e/admin|/public/.%2E/admin|"
    b"/public/..%2fadmin|/public%2f..%2fadmin|/public/%2e|/public/..%5cadmin|/public\\..\\admin|"
    b"/public/..;/admin|/public/..;a=b/admin|/public/..?x|/public/../admin?x=1|http://shop/public/../admin"
).split(b"|")
TAKEN = (
    b"/public/.well-known/x|/public/..a|/public/a..|/public/...|/public/a.css|/public/x?y=/../z|/public/x?/..|"
    b"/public/a;../b"
).split(b"|")
PUBLIC = RouteSpec(name="route", match=MatchSpec(), action=TO_BACKEND, cells=ROUTE)


def head(target: bytes, method: bytes = b"GET", more: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: shop\r\n%b\r\n" % (method, target, more)


@pytest.mark.parametrize("target", REFUSED)
async def test_a_path_that_could_lead_elsewhere_does_not_reach_a_server(passing: Any, target: bytes) -> None:
    """
    On a new connection or one whose requests go through in C, whatever the method and the body.
    """
    backend = Backend(hello)
    async with passing(backend, routes=[PUBLIC]) as gateway:
        client = await gateway.client()
        for count in (0, 3, 3):
            for _ in range(count):
                await client.send(head(b"/public/x"))
                assert (await client.response()).body == b"hello"
            asked = len(backend.requests)
            for method, more in (
                (b"GET", b""),
                (b"DELETE", b""),
                (b"HEAD", b""),
                (b"POST", b"Content-Length: 2\r\n"),
                (b"POST", b"Transfer-Encoding: chunked\r\n"),
            ):
                body = b"" if not more else b"hi" if b"2" in more else b"2\r\nhi\r\n0\r\n\r\n"
                await client.send(head(target, method, more) + body)
                response = await client.response(to_head=method == b"HEAD")
                assert response.status == 400
                assert method == b"HEAD" or b"the path has a part '.' or '..'" in response.body
            assert len(backend.requests) == asked
            assert gateway.is_clean()


@pytest.mark.parametrize("target", TAKEN)
async def test_dots_that_are_part_of_a_name_are_passed_on(passing: Any, target: bytes) -> None:
    """
    As they were sent, and those in a query anyway.
    """
    backend = Backend(hello)
    async with passing(backend, routes=[PUBLIC]) as gateway:
        client = await gateway.client()
        for _ in range(3):
            await client.send(head(target))
            assert (await client.response()).status == 200
    assert [request.split(b" ")[1] for request in backend.requests] == [target] * 3


async def test_a_rewrite_that_makes_one_does_not_reach_a_server(passing: Any) -> None:
    """
    It is the path that the server would get that counts.
    """
    edits = EditsSpec(rewrite=RewriteSpec(replace=("^/v-(.*)", "/v/{1}")))
    route = RouteSpec(name="route", match=MatchSpec(), action=TO_BACKEND, cells=ROUTE, edits=edits)
    backend = Backend(hello)
    async with passing(backend, routes=[route]) as gateway:
        assert (await gateway.ask(head(b"/v-a"))).status == 200
        assert (await gateway.ask(head(b"/v-../b"))).status == 400
    assert [request.split(b" ")[1] for request in backend.requests] == [b"/v/a"]


PIECES = st.lists(
    st.sampled_from([b"/", b".", b"..", b"a", b"%2e", b"%2E", b"%2f", b"%41", b"?", b"\\", b"%5c", b";"])
)


@given(PIECES)
def test_what_is_passed_on_means_the_same_to_a_server(pieces: list[bytes]) -> None:
    """
    Decoded and resolved it is still below where it seems to be; and C takes none that Python refuses.
    """
    target = b"/" + b"".join(pieces)
    path, raw_path, _ = split_target(target)
    if has_dot_segment(path):
        if native.IS_NATIVE:
            assert native.request(head(target), tail_of(TERMS, "http"), "10.0.0.1", 5) is None
        return
    seen = unquote_to_bytes(raw_path).replace(b"\\", b"/")
    names = [name for name in seen.split(b"/") if name]
    resolved = posixpath.normpath(seen)
    assert [name for name in resolved.split(b"/") if name] == names


@in_c
def test_names_with_dots_go_through_c() -> None:
    """
    Files have an ending, and their requests are usual ones.
    """
    for target in (b"/a.css", b"/a..", b"/a?b=/../c", b"/a;../b"):
        assert native.request(head(target), tail_of(TERMS, "http"), "10.0.0.1", 5) is not None
