"""The welcome service as an ASGI app, with its events in our hands."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from penstock import __version__
from penstock.worker import identity as identity_module
from penstock.worker.identity import NOBODY, Identity, identity, set_identity
from penstock.worker.welcome import app
from penstock.worker.welcome.page import (
    PLACEHOLDER,
    TEMPLATE,
    admin_url,
    content_security_policy,
    page_facts,
    render_page,
)

Event = dict[str, Any]


@pytest.fixture
def third_worker() -> Iterator[Identity]:
    """Make this process a worker, and nobody again afterwards."""
    who = Identity(
        slot=2, core=5, generation=7, worker_count=4, admin_address="127.0.0.1:9180", master_pid=4321
    )
    set_identity(who)
    yield who
    set_identity(NOBODY)


class Reply:
    """What the app sent for one request."""

    def __init__(self, events: list[Event]) -> None:
        start, *bodies = events
        self.status: int = start["status"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]
        }
        self.body = b"".join(event["body"] for event in bodies)
        assert [event.get("more_body", False) for event in bodies][-1] is False

    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(method: str, path: str, **more: Any) -> Event:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000")],
    } | more


def request(method: str, path: str, *chunks: bytes, **more: Any) -> Reply:
    """Send one request whose body comes in the given chunks."""
    events = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks)}
        for index, chunk in enumerate(chunks, start=1)
    ] or [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(dict(event))

    asyncio.run(app(scope_of(method, path, **more), receive, send))
    return Reply(sent)


def test_page_tells_which_worker_wrote_it(third_worker: Identity) -> None:
    """
    A newcomer sees at once that several processes answer, and which one did.
    """
    reply = request("GET", "/")

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert int(reply.headers["content-length"]) == len(reply.body)
    page = reply.body.decode()
    assert f"from slot 2, pid {os.getpid()}, core 5, generation 7" in page
    assert f"Penstock {__version__} on" in page
    assert "kill -USR2 4321" in page
    assert 'href="http://127.0.0.1:9180/"' in page
    assert not PLACEHOLDER.search(page)


def test_page_outside_a_worker_advises_no_signal() -> None:
    """
    Under another server the parent is a stranger, perhaps the user's shell.
    """
    assert identity() is NOBODY

    page = request("GET", "/").body.decode()

    assert "kill -USR2 MASTER_PID" in page
    assert "core any" in page


def test_every_placeholder_has_a_fact() -> None:
    """
    A placeholder without a fact would fail in front of the newcomer, not here.
    """
    assert set(PLACEHOLDER.findall(TEMPLATE)) == set(page_facts(NOBODY, "127.0.0.1", ""))


def test_facts_enter_the_page_escaped() -> None:
    """
    The Host header and the mount point are the client's and the operator's words, not ours.
    """
    hostile = "\"'><script>alert(1)</script>"

    page = render_page(Identity(admin_address=hostile), host=hostile, root_path=hostile).decode()

    assert "<script>alert" not in page
    assert page.count("<script>") == TEMPLATE.count("<script>") == 1
    assert "&quot;&#x27;&gt;&lt;script&gt;" in page


def test_page_may_run_its_own_script_and_nothing_else(third_worker: Identity) -> None:
    """
    The policy names hashes, so what is not in the template does not run.

    It holds only while no fact is written into the style or the script.
    """
    reply = request("GET", "/")
    policy = reply.headers["content-security-policy"]

    assert policy == content_security_policy(TEMPLATE)
    assert policy == content_security_policy(reply.body.decode())
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2


def test_page_needs_nothing_from_elsewhere() -> None:
    """
    It works on a machine without internet, and tells no third party that it was opened.
    """
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", TEMPLATE)
    assert "@import" not in TEMPLATE
    assert "url(" not in TEMPLATE
    assert " style=" not in TEMPLATE  # the policy would refuse it
    assert not re.findall(r"\son\w+=", TEMPLATE)  # and these


@pytest.mark.parametrize(
    ("address", "host", "url"),
    [
        ("127.0.0.1:9180", "example.org", "http://127.0.0.1:9180/"),
        ("[::1]:9180", "example.org", "http://[::1]:9180/"),
        ("0.0.0.0:9180", "example.org:8000", "http://example.org:9180/"),
        ("[::]:9180", "[fe80::1]", "http://[fe80::1]:9180/"),
        ("unix:/run/penstock/admin.sock", "example.org", ""),
        (None, "example.org", ""),
    ],
)
def test_admin_page_is_found_from_where_the_client_is(address: str | None, host: str, url: str) -> None:
    """
    "0.0.0.0" is an address to listen on; a browser cannot go there.
    """
    assert admin_url(address, host) == url


def test_whoami_tells_the_facts(third_worker: Identity) -> None:
    """
    Programs count on these keys: it is how one sees which worker answered.
    """
    reply = request("GET", "/whoami")

    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "pid": os.getpid(),
        "slot": 2,
        "core": 5,
        "generation": 7,
        "version": __version__,
    }
    assert "connection" not in reply.headers


def test_whoami_fresh_gives_the_connection_up() -> None:
    """
    A browser would stay on its connections, and so with their workers, for ever.
    """
    assert request("GET", "/whoami?fresh").headers["connection"] == "close"
    assert "connection" not in request("GET", "/whoami?fresh", http_version="2").headers


def test_echo_describes_a_request() -> None:
    """
    Header bytes beyond ASCII come back, too: this is what one asks when a proxy mangles them.
    """
    headers = [(b"host", b"a"), (b"x-twice", b"1"), (b"x-twice", b"caf\xc3\xa9")]

    told = request("GET", "/echo?a=1&b=%20", headers=headers).json()

    assert told["method"] == "GET"
    assert told["path"] == "/echo"
    assert told["query"] == "a=1&b=%20"
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]] == headers


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_echo_gives_the_body_back(method: str) -> None:
    """
    Same bytes, same type, same length, whatever the chunks were.
    """
    headers = [(b"content-type", b"image/png"), (b"content-length", b"6")]

    reply = request(method, "/echo", b"ab", b"", b"cdef", headers=headers)

    assert reply.status == 200
    assert reply.body == b"abcdef"
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == "6"


def test_echo_of_an_untyped_body_is_bytes_that_nobody_runs() -> None:
    """
    Otherwise a page elsewhere could have us say its script in our name.
    """
    reply = request("POST", "/echo", b"<script>alert(1)</script>")

    assert reply.headers["content-type"] == "application/octet-stream"
    assert "content-length" not in reply.headers
    assert "sandbox" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_echo_takes_no_more_than_it_can_give() -> None:
    """
    A client that sends and never reads costs one chunk of memory, not its whole body.
    """
    taken = 0

    async def receive() -> Event:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    async def scenario() -> None:
        stuck = asyncio.Event()
        blocked = asyncio.Event()

        async def send(event: Any) -> None:
            if event["type"] == "http.response.body":
                blocked.set()
                await stuck.wait()

        task = asyncio.create_task(app(scope_of("POST", "/echo"), receive, send))
        await blocked.wait()
        for _ in range(100):  # turns of the loop in which a greedy echo would go on reading
            await asyncio.sleep(0)
        assert taken == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


@pytest.mark.parametrize("chunks_before", [0, 1])
def test_echo_ends_when_the_client_goes(chunks_before: int) -> None:
    """
    A client that leaves in the middle of its body is no error of the app's.
    """
    events: list[Event] = [{"type": "http.request", "body": b"half", "more_body": True}] * chunks_before
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop() if events else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(dict(event))

    asyncio.run(app(scope_of("POST", "/echo"), receive, send))

    assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"][
        : 2 * chunks_before
    ]
    assert all(event.get("more_body", True) for event in sent)  # a half is not told as a whole


@pytest.mark.parametrize("path", ["/", "/whoami", "/echo", "/missing"])
def test_head_is_get_without_the_body(path: str) -> None:
    """
    RFC 9110, 9.3.2: the same header fields, no content.
    """
    head, get = request("HEAD", path), request("GET", path)

    assert head.body == b""
    assert (head.status, head.headers.keys()) == (get.status, get.headers.keys())
    if path != "/echo":  # which tells the method, so its length differs
        assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("path", ["/missing", "/echo/", "/whoami/x", "//"])
def test_other_paths_are_not_found(path: str) -> None:
    """
    The answer says what there is instead.
    """
    reply = request("GET", path)

    assert reply.status == 404
    assert b"/whoami" in reply.body


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/whoami", "GET, HEAD"),
        ("DELETE", "/echo", "GET, HEAD, POST, PUT"),
        ("OPTIONS", "/echo", "GET, HEAD, POST, PUT"),
    ],
)
def test_other_methods_are_told_the_right_ones(method: str, path: str, allow: str) -> None:
    """
    RFC 9110, 15.5.6: a 405 carries Allow.
    """
    reply = request(method, path, b"a body nobody reads")

    assert reply.status == 405
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/whoami", "/echo", "/missing"])
def test_every_answer_is_for_now_and_for_what_it_says(path: str) -> None:
    """
    A cached /whoami would name a worker that is gone.
    """
    headers = request("GET", path).headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_it_works_below_a_mount_point() -> None:
    """
    ASGI's path begins with root_path, and the page's own questions have to as well.
    """
    assert request("GET", "/tools/whoami", root_path="/tools").status == 200
    page = request("GET", "/tools/", root_path="/tools/").body.decode()
    assert 'data-root="/tools"' in page
    assert 'href="/tools/whoami"' in page
    assert request("GET", "/tools", root_path="/tools").status == 200
    assert request("GET", "/toolshed", root_path="/tools").status == 404


def test_lifespan_starts_and_stops() -> None:
    """
    The server may insist on it with `--lifespan on`.
    """
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Any) -> None:
        sent.append(event["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_websocket_is_refused() -> None:
    """
    Closing before accepting is ASGI's word for 403.
    """
    sent: list[Event] = []

    async def receive() -> Event:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(dict(event))

    asyncio.run(app({"type": "websocket", "path": "/"}, receive, send))

    assert [event["type"] for event in sent] == ["websocket.close"]


def test_identity_is_kept_for_the_process() -> None:
    """
    Whoever asks, wherever it was imported from, gets the same record.
    """
    who = Identity(slot=1)
    set_identity(who)
    try:
        assert identity_module.identity() is who
    finally:
        set_identity(NOBODY)
