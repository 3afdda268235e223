"""What a client may fetch meanwhile: `http.response.early_hint`."""

from typing import Any

import pytest

from penstock.worker.http.early_hints import early_hint
from penstock.worker.limits import EARLY_HINT_BYTES_MAX

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STYLE = b"</style.css>; rel=preload; as=style"
HINT = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n"


def sending(*messages: Any) -> Any:
    """Make an app that sends these."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def hint(*links: bytes) -> Any:
    """Make a message."""
    return {"type": "http.response.early_hint", "links": links}


START: Any = {"type": "http.response.start", "status": 200}
BODY: Any = {"type": "http.response.body", "body": b"abc"}


@pytest.mark.parametrize(
    "messages",
    [
        (hint(STYLE), START, BODY),
        (START, hint(STYLE), BODY),
        (hint(), hint(STYLE), START, BODY),
    ],
)
async def test_a_hint_comes_before_the_response(serve: Any, messages: Any) -> None:
    """
    Whether the app has begun it or not.
    """
    async with serve(sending(*messages)) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            assert await client.until(b"\r\n\r\n") == HINT
            assert (await client.response()).body == b"abc"


async def test_hints_may_be_several_and_have_several_links(serve: Any) -> None:
    """
    As the app finds out what it will need.
    """
    async with serve(sending(hint(STYLE, b"</a>"), hint(STYLE), START, BODY)) as server:
        client = await server.client()
        await client.send(GET)
        assert await client.until(b"\r\n\r\n") == HINT[:-2] + b"link: </a>\r\n\r\n"
        assert await client.until(b"\r\n\r\n") == HINT
        assert (await client.response()).body == b"abc"
        assert server.site.sent_bytes > 2 * len(HINT)


async def test_clients_of_http_1_0_get_none(serve: Any) -> None:
    """
    They would take it for the response.
    """
    async with serve(sending(hint(STYLE), START, BODY)) as server:
        [response] = await server.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert (response.status, response.body) == (200, b"abc")


async def test_a_late_hint_is_dropped(serve: Any) -> None:
    """
    It is no use when the response is under way, and no harm.
    """
    async with serve(sending(START, BODY | {"more_body": True}, hint(STYLE), BODY)) as server:
        [response] = await server.ask(GET)
        assert response.body == b"abcabc"


async def test_a_hint_after_the_end_is_out_of_order(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    As anything else.
    """
    async with serve(sending(START, BODY, hint(STYLE))) as server:
        [response] = await server.ask(GET)
        assert response.body == b"abc"
    assert "out of order: the response is complete" in caplog.text


@pytest.mark.parametrize(
    ("link", "error"),
    [
        (b"</a>\r\nset-cookie: x", ValueError),
        (b"a\x00", ValueError),
        ("</a>", TypeError),
        (b"a" * EARLY_HINT_BYTES_MAX, ValueError),
    ],
)
def test_links_are_judged(link: Any, error: type[Exception]) -> None:
    """
    They may have come from a user.
    """
    with pytest.raises(error):
        early_hint([link])
