"""Orders on the control socket: which are passed on, and how all others are answered."""

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.master.admin.app import AdminApp
from penstock.master.admin.control import ControlApp, is_number
from penstock.master.verbs import VERBS
from penstock.worker.messages import Ask

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site


class Control:
    """The app, and what it has passed on."""

    def __init__(self, site: "Site") -> None:
        self.passed: list[Ask] = []
        self.refusal: str | None = None
        self._app = ControlApp(AdminApp(site), self._pass_on)

    def _pass_on(self, ask: Ask) -> str | None:
        self.passed.append(ask)
        return self.refusal

    def ask(
        self, path: str, method: str = "POST", query: bytes = b""
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Ask as the HTTP stack would."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nobody reads the body of an order")

        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": []}
        asyncio.run(self._app(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.fixture
def control(site: "Site") -> Control:
    """One control socket, as it were."""
    return Control(site)


@pytest.mark.parametrize("verb", VERBS)
def test_order_is_passed_on_under_the_id_that_is_answered(control: Control, verb: str) -> None:
    """
    At once: the outcome is looked up by that id.
    """
    name = VERBS[verb].argument
    status, _, body = control.ask(f"/control/{verb}", query=f"{name}=3".encode() if name else b"")

    assert status == 202
    assert control.passed == [Ask(verb, 3 if name else None, json.loads(body)["id"])]
    control.ask(f"/control/{verb}", query=f"{name}=3".encode() if name else b"")
    assert control.passed[0].ticket != control.passed[1].ticket


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("POST", "/control/", b"", 404),
        ("POST", "/control/explode", b"", 404),
        ("POST", "/control/drain/", b"", 404),
        ("POST", "/control/../drain", b"", 404),
        ("POST", "/status", b"", 405),
        ("GET", "/control/drain", b"", 405),
        ("HEAD", "/control/drain", b"", 405),
        ("DELETE", "/control/drain", b"", 405),
        ("POST", "/control/scale", b"", 400),
        ("POST", "/control/scale", b"workers=", 400),
        ("POST", "/control/scale", b"workers=two", 400),
        ("POST", "/control/scale", b"workers=-1", 400),
        ("POST", "/control/scale", b"workers=%2B1", 400),
        ("POST", "/control/scale", b"workers=1.0", 400),
        ("POST", "/control/scale", b"workers=1234567890", 400),
        ("POST", "/control/scale", "workers=٣".encode(), 400),
        ("POST", "/control/scale", b"workers=%D9%A3", 400),
        ("POST", "/control/scale", b"workers=1&workers=1", 400),
        ("POST", "/control/scale", b"workers=1&now=1", 400),
        ("POST", "/control/scale", b"&".join([b"workers=1"] * 20), 400),
        ("POST", "/control/reload", b"workers=1", 400),
    ],
)
def test_what_is_no_order_is_answered_and_not_passed_on(
    control: Control, method: str, path: str, query: bytes, status: int
) -> None:
    """
    In words, and with the way to do it.
    """
    answered, headers, body = control.ask(path, method, query)

    assert answered == status
    assert (b"allow" in headers) == (status == 405)
    assert body or method == "HEAD"
    assert control.passed == []


def test_everything_else_is_the_admin_endpoint(control: Control) -> None:
    """
    `penstock status` asks there too.
    """
    status, _, body = control.ask("/status", "GET")

    assert status == 200
    assert json.loads(body)["operations"] == []


def test_master_that_cannot_be_told_is_told_of(control: Control) -> None:
    """
    Not an id for which nothing will ever be found.
    """
    control.refusal = "The master does not listen."

    assert control.ask("/control/reload")[::2] == (503, b"The master does not listen.\n")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "x"]),
    path=st.one_of(st.text(max_size=30).map(lambda text: f"/control/{text}"), st.sampled_from(sorted(VERBS))),
    query=st.one_of(
        st.binary(max_size=60), st.text(max_size=30).map(lambda text: quote(text, "=&").encode())
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_request_has_an_answer_and_only_orders_pass(
    control: Control, method: str, path: str, query: bytes
) -> None:
    """
    What reaches the master is a verb that it knows, with the number that it takes.
    """
    control.passed.clear()
    status, _, _ = control.ask(path if path.startswith("/") else f"/control/{path}", method, query)

    assert status in {202, 400, 404, 405}
    assert len(control.passed) == (status == 202)
    for ask in control.passed:
        assert method == "POST"
        assert (VERBS[ask.verb].argument is None) == (ask.argument is None)


@given(st.text(max_size=12))
def test_number_is_what_int_reads_without_surprise(text: str) -> None:
    """
    Int() reads "1_0", " 1 " and digits of other scripts as well.
    """
    assert not is_number(text) or str(int(text)) == (text.lstrip("0") or "0")
