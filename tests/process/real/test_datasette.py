"""Datasette: an app that others wrote to be run as it is, made by a factory."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.process.browser import Browser
from tests.process.harness import Server

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    """Serve a table of a thousand teas."""
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table teas (id integer primary key, name text, grams integer)")
        rows = [(number, f"tea number {number}", number * 10) for number in range(1000)]
        connection.executemany("insert into teas values (?, ?, ?)", rows)
    return serve("datasette_site:make", "--factory", env={"SITE_DB": str(database)})


def test_queries_and_streams(server: Server, client_of: ClientOf) -> None:
    """
    JSON, a query of one's own, and a table as CSV, which is streamed.
    """
    client = client_of(server)

    table = client.get("/shop/teas.json", params={"_size": "2", "_shape": "array"}).json()
    assert table == [
        {"id": 0, "name": "tea number 0", "grams": 0},
        {"id": 1, "name": "tea number 1", "grams": 10},
    ]
    total = client.get("/shop.json", params={"sql": "select sum(grams) as g from teas", "_shape": "array"})
    assert total.json() == [{"g": 4_995_000}]
    rows = client.get("/shop/teas.csv", params={"_stream": "on"}).text.splitlines()
    assert len(rows) == 1001
    assert client.get("/nowhere").status_code == 404


@pytest.mark.xdist_group("chromium")
def test_in_a_browser(server: Server, browser: Browser) -> None:
    """
    The page of a table, with its styles and its filter form.
    """
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/shop/teas")

    assert tab.text("h1") == "teas"
    assert "1,000 rows" in tab.text()
    assert tab.value("document.querySelectorAll('table.rows-and-columns tbody tr').length") == 100
    assert tab.complaints == []
