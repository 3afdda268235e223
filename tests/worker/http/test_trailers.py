"""Headers after the body: `http.response.trailers`."""

import logging
from typing import Any

import pytest

from penstock.worker.http.trailers import FORBIDDEN
from penstock.worker.limits import TRAILER_BYTES_MAX
from penstock.worker.spec import CompressionSpec

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ASKING = b"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n\r\n"
SUMS = [(b"x-sum", b"42"), (b"x-sum", b"43")]
END = b"0\r\nx-sum: 42\r\nx-sum: 43\r\n\r\n"


def trailing(*pieces: bytes, headers: Any = (), status: int = 200, messages: Any = None) -> Any:
    """Make an app that answers with these pieces and trailers."""
    told = [{"type": "http.response.trailers", "headers": SUMS}] if messages is None else messages

    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": status, "headers": headers, "trailers": True}
        await send(start)
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})
        for message in told:
            await send(message)

    return app


@pytest.mark.parametrize("pieces", [(b"abc",), (b"ab", b"c"), (b"abc", b"")])
async def test_trailers_follow_the_last_chunk(serve: Any, pieces: tuple[bytes, ...]) -> None:
    """
    Also of a body that comes in one piece, and the connection goes on.
    """
    headers = [(b"trailer", b"x-sum")]
    async with serve(trailing(*pieces, headers=headers)) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(ASKING)
            head = await client.until(b"\r\n\r\n")
            assert b"trailer: x-sum\r\n" in head
            assert b"transfer-encoding: chunked\r\n" in head
            body = await client.until(END)
            assert b"".join(body.removesuffix(END).split(b"\r\n")[1::2]) == b"abc"
        assert client.received == b""


async def test_trailers_come_in_several_messages(serve: Any) -> None:
    """
    As the app has them.
    """
    messages = [
        {"type": "http.response.trailers", "headers": [[b"x-sum", b"42"]], "more_trailers": True},
        {"type": "http.response.trailers", "more_trailers": True},
        {"type": "http.response.trailers", "headers": ((b"x-sum", b"43"),), "more_trailers": False},
    ]
    async with serve(trailing(b"abc", messages=messages)) as server:
        client = await server.client()
        await client.send(ASKING)
        await client.until(END)


@pytest.mark.parametrize("ask", [GET, GET.replace(b"1.1", b"1.0"), ASKING.replace(b"1.1", b"1.0")])
async def test_who_has_not_asked_gets_none(serve: Any, ask: bytes) -> None:
    """
    The app need not know.
    """
    async with serve(trailing(b"abc")) as server:
        [response] = await server.ask(ask)
        assert (response.body, response.headers["content-length"]) == (b"abc", "3")
        assert not server.site.active_count


@pytest.mark.parametrize("pieces", [(b"abc",), (b"ab", b"c")])
async def test_a_body_with_a_length_has_none(serve: Any, pieces: tuple[bytes, ...]) -> None:
    """
    There is no place for them.
    """
    async with serve(trailing(*pieces, headers=[(b"content-length", b"3")])) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(ASKING)
            assert (await client.response()).body == b"abc"


async def test_head_and_304_have_none(serve: Any) -> None:
    """
    Nor have they a body.
    """
    async with serve(trailing(b"abc", status=304)) as server:
        client = await server.client()
        for ask in (ASKING.replace(b"GET", b"HEAD"), ASKING):
            await client.send(ask)
            await client.response(to_head=True)


async def test_promised_trailers_that_do_not_come_do_not_keep_the_client(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The body was whole, so the response is ended.
    """
    caplog.set_level(logging.ERROR)
    async with serve(trailing(b"abc", messages=())) as server:
        client = await server.client()
        await client.send(ASKING)
        assert (await client.response()).body == b"abc"
    assert "without the trailers" in caplog.text


async def raised(serve: Any, app: Any, ask: bytes = ASKING) -> BaseException:
    """Return what an app got to hear."""
    errors: list[BaseException] = []

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            errors.append(error)
            raise

    async with serve(listening) as server:
        client = await server.client()
        await client.send(ask)
        await server.until(lambda: errors)
    return errors[0]


@pytest.mark.parametrize("ask", [ASKING, GET])
@pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding", b"set-cookie", b"trailer"])
async def test_what_must_be_known_before_cannot_be_a_trailer(serve: Any, ask: bytes, name: bytes) -> None:
    """
    Whether or not the client would see it, so that one finds out before it does.
    """
    assert name.lower() in FORBIDDEN
    messages = [{"type": "http.response.trailers", "headers": [(name, b"1")]}]
    assert "cannot be a trailer" in str(await raised(serve, trailing(b"abc", messages=messages), ask))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([(b"x", b"a\r\nb: c")], "newline"),
        ([(b"x y", b"a")], "invalid name"),
        ([("x", b"a")], "are bytes"),
        ([(b"x", "a")], "are bytes"),
        ([(b"x", b"a" * TRAILER_BYTES_MAX)], "longer than"),
    ],
)
async def test_trailers_are_judged(serve: Any, headers: Any, said: str) -> None:
    """
    They could end the response otherwise.
    """
    messages = [{"type": "http.response.trailers", "headers": headers}]
    assert said in str(await raised(serve, trailing(b"abc", messages=messages)))


async def test_trailers_out_of_order_are_refused(serve: Any) -> None:
    """
    Unannounced, before the end of the body, or a body after its end.
    """

    def app(*messages: Any, trailers: bool = True) -> Any:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "trailers": trailers})
            for message in messages:
                await send(message)

        return inner

    body: Any = {"type": "http.response.body", "body": b"abc"}
    end: Any = {"type": "http.response.trailers", "headers": SUMS}
    assert "did not promise" in str(await raised(serve, app(body, end, trailers=False)))
    assert "not complete" in str(await raised(serve, app(end)))
    assert "not complete" in str(await raised(serve, app(body | {"more_body": True}, end)))
    assert "trailers are awaited" in str(await raised(serve, app(body, body)))


async def test_a_compressed_body_has_them_too(serve: Any) -> None:
    """
    They are not part of it.
    """
    spec = CompressionSpec(codings=(("gzip", 4),), types=("text/*",), size_min=1)
    app = trailing(b"abc" * 1000, headers=[(b"content-type", b"text/plain")])
    async with serve(app, compression=spec) as server:
        client = await server.client()
        await client.send(ASKING.replace(b"TE: ", b"Accept-Encoding: gzip\r\nTE: "))
        assert b"content-encoding: gzip" in await client.until(b"\r\n\r\n")
        await client.until(END)
