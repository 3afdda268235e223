"""Django as its users run it: over ASGI and over WSGI, with its admin in a browser and its static files."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import django
import httpx
import pytest

from tests.process.browser import Browser, Tab
from tests.process.harness import Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]

ADMIN_FILES = Path(django.__file__).parent / "contrib" / "admin" / "static"

both_ways = pytest.mark.parametrize("target", ["django_site:asgi", "django_site:wsgi"])


@both_ways
def test_views_forms_uploads_and_streams(
    target: str, serve: Serve, client_of: ClientOf, django_env: dict[str, str]
) -> None:
    """
    What a Django project does all day, whichever of its two doors it is called through.
    """
    server = serve(target, env=django_env)
    client = client_of(server)

    assert client.get("/hello").text == "hello, world"
    assert client.get("/async-hello").text == "hello, loop"
    blob = bytes(range(256)) * 20_000  # beyond what Django keeps in memory
    answer = client.post("/upload", data={"note": "für dich"}, files={"file": ("blob.bin", blob)})
    assert answer.json() == {
        "note": "für dich",
        "sha256": hashlib.sha256(blob).hexdigest(),
        "size": len(blob),
    }
    with client.stream("GET", "/stream") as response:
        assert list(response.iter_lines()) == [f"line {number}" for number in range(20)]
    about = client.get("/about/caf%C3%A9", params={"a": "1"}).json()
    assert about["path"] == "/about/café"
    assert about["url"] == f"http://127.0.0.1:{server.port}/about/caf%C3%A9?a=1"
    assert about["client"] == "127.0.0.1"
    assert about["kind"] == ("ASGIRequest" if target.endswith("asgi") else "WSGIRequest")
    assert client.get("/missing").status_code == 404


@both_ways
def test_under_a_prefix(target: str, serve: Serve, client_of: ClientOf, django_env: dict[str, str]) -> None:
    """
    Behind a proxy that takes the prefix off: Django makes its links with it.
    """
    client = client_of(serve(target, "--root-path", "/shop", env=django_env))

    about = client.get("/about/tea").json()
    assert about["script_name"] == "/shop"
    assert about["path"] == "/shop/about/tea"
    assert client.get("/admin/").headers["location"] == "/shop/admin/login/?next=/shop/admin/"


@both_ways
def test_a_failing_view_tells_the_client_nothing(
    target: str, serve: Serve, client_of: ClientOf, django_env: dict[str, str]
) -> None:
    """
    And the next request on the connection is served.
    """
    client = client_of(serve(target, env=django_env))

    answer = client.get("/fails")
    assert answer.status_code == 500
    assert "secret of the house" not in answer.text
    assert client.get("/hello").status_code == 200


def wait_page(tab: Tab, condition: str) -> None:
    """Wait until something is true, on whichever page the browser is by then."""

    def holds() -> bool:
        try:
            return bool(tab.value(condition))
        except AssertionError:
            return False  # It is between two pages.

    wait_for(holds, condition)


@pytest.mark.xdist_group("chromium")
@both_ways
def test_the_admin_in_a_browser(
    target: str, serve: Serve, browser: Browser, django_env: dict[str, str]
) -> None:
    """
    Log in, make a group, see it listed; styles and scripts come from a folder that Penstock serves itself.
    """
    server = serve(target, "--static", f"/static/={ADMIN_FILES}", env=django_env)

    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/admin/")
    tab.value("document.querySelector('#id_username').value = 'root'")
    tab.value("document.querySelector('#id_password').value = 'let me in'")
    tab.value("void document.querySelector('form').submit()")
    wait_page(tab, "document.title.startsWith('Site administration')")
    assert "welcome, root" in tab.text("#user-tools").lower()
    assert (
        tab.value("getComputedStyle(document.querySelector('#header')).backgroundColor")
        == "rgb(65, 118, 144)"
    )

    tab.value("void (location.href = '/admin/auth/group/add/')")
    wait_page(tab, "document.querySelector('#id_name') !== null")
    tab.value("document.querySelector('#id_name').value = 'plumbers'")
    tab.value("void document.querySelector('input[name=_save]').click()")
    wait_page(tab, "document.querySelector('.success') !== null")
    assert "plumbers" in tab.text("#result_list")
    assert [each for each in tab.complaints if not each.endswith("/favicon.ico")] == []
    statics = [url for url in tab.requests if "/static/" in url]
    assert len(statics) > 10
    wait_for(lambda: server.metric("penstock_requests_total", code="2xx") > len(statics), "all counted")
