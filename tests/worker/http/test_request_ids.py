"""Each request has an id, which the app, the client and the logs agree on."""

import logging
from typing import Any

import pytest

from penstock.worker.http.request_ids import RequestIds
from penstock.worker.spec import MatchSpec, RequestIdSpec, RespondAction

GET = b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n"


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the ids that came, and fail if told to."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    own = [(b"x-request-id", b"own")] if scope["path"] == "/own" else []
    await send({"type": "http.response.start", "status": 200, "headers": own})
    if scope["path"] == "/fail":
        raise ValueError("failed")
    await send({"type": "http.response.body", "body": b",".join(given)})


def _asking(*ids: bytes, path: bytes = b"/") -> bytes:
    lines = b"".join(b"X-Request-Id: " + each + b"\r\n" for each in ids)
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"


def _ids(serving: Any, **spec: Any) -> RequestIds:
    ids = RequestIds(RequestIdSpec(**{"header": "X-Request-ID", **spec}))
    serving.site.watch_requests(opening=ids.open)
    return ids


async def test_id_is_made_and_reaches_app_and_client(serve: Any) -> None:
    async with serve(_echo) as serving:
        _ids(serving)
        first, second = await serving.ask(_asking() * 2)
    assert first.headers["x-request-id"].encode() == first.body
    assert len(first.body) == 32
    assert first.body != second.body
    int(first.body, 16)


@pytest.mark.parametrize("given", [b"a", b"x" * 128, b"req-1/2:3;{}~!"])
async def test_id_of_a_trusted_client_is_kept(serve: Any, given: bytes) -> None:
    """
    Whoever is in front has it in his log.
    """
    async with serve(_echo) as serving:
        _ids(serving)
        [response] = await serving.ask(_asking(given))
    assert (response.headers["x-request-id"], response.body) == (given.decode(), given)


@pytest.mark.parametrize(
    "given", [(b"x" * 129,), (b"a b",), (b"\xe9",), (b"",), (b"a\tb",), (b"one", b"two")]
)
async def test_id_that_is_none_is_replaced(serve: Any, given: tuple[bytes, ...]) -> None:
    """
    The app sees one id and no trace of what came.
    """
    async with serve(_echo) as serving:
        _ids(serving)
        [response] = await serving.ask(_asking(*given))
    assert response.headers["x-request-id"].encode() == response.body
    assert len(response.body) == 32


async def test_id_of_a_client_that_is_not_trusted_is_replaced(serve: Any) -> None:
    async with serve(_echo) as serving:
        _ids(serving, trust=False)
        [response] = await serving.ask(_asking(b"mine"))
    assert response.headers["x-request-id"].encode() == response.body
    assert response.body != b"mine"


async def test_blocks_that_are_remembered_stay_as_they_came(serve: Any) -> None:
    """
    The same head again and again: each request has an id of its own, and only one.
    """
    async with serve(_echo) as serving:
        _ids(serving, trust=False)
        bodies = [response.body for response in await serving.ask(_asking(b"mine") * 6)]
    assert len(set(bodies)) == 6
    assert all(len(body) == 32 for body in bodies)


async def test_id_that_the_app_sets_is_left(serve: Any) -> None:
    async with serve(_echo) as serving:
        _ids(serving)
        [response] = await serving.ask(_asking(path=b"/own"))
    assert response.headers["x-request-id"] == "own"


async def test_fixed_answers_and_failures_have_one(serve: Any) -> None:
    """
    Also where no app is asked, and where it has nothing to say.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("failed")

    for action in ({"routes": ((MatchSpec(), RespondAction()),)}, {}):
        async with serve(app, **action) as serving:
            _ids(serving, header="X-Trace")
            [response] = await serving.ask(GET)
        assert len(response.headers["x-trace"]) == 32


async def test_log_lines_about_a_request_name_it(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    So that a traceback is found by what the client was told.
    """
    async with serve(_echo) as serving:
        _ids(serving)
        with caplog.at_level(logging.ERROR):
            [response] = await serving.ask(_asking(b"mine", path=b"/fail"))
    assert response.status == 500
    assert "GET /fail (0.0" in caplog.text
    assert " s, id mine)" in caplog.text


def test_no_two_workers_make_the_same() -> None:
    """
    The prefix is drawn where the worker is, and the counter never comes round.
    """
    spec = RequestIdSpec(header="x")
    made = [ids.make() for ids in [RequestIds(spec) for _ in range(100)] for _ in range(100)]
    assert len(set(made)) == 10_000


async def test_one_whose_body_is_refused_has_it_too(serve: Any) -> None:
    """
    The access log has the id, and whoever complains of a 413 has only his response.
    """
    post = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Length: 11\r\n\r\n"
    async with serve(_echo, body_bytes=10) as serving:
        _ids(serving)
        [response] = await serving.ask(post)
    assert (response.status, response.headers.get("x-request-id")) == (413, "mine")
