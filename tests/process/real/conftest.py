"""Whole apps of well-known frameworks, and clients for them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.harness import DEADLINE_S, Server

SITES = Path(__file__).parent / "sites"


@pytest.fixture
def serve(start: Callable[..., Server]) -> Callable[..., Server]:
    """Give a function that serves one of the sites."""

    def serve_site(target: str, *arguments: str, env: dict[str, str] | None = None) -> Server:
        options = ("--app-dir", str(SITES), "--port", "0", "--workers", "1", *arguments)
        return start(target, *options, env=env).wait_serving()

    return serve_site


@pytest.fixture
def client_of() -> Iterator[Callable[[Server], httpx.Client]]:
    """Give a function that makes a client of a server, which keeps its connections."""
    clients: list[httpx.Client] = []

    def make(server: Server, **options: Any) -> httpx.Client:
        url = f"http://127.0.0.1:{server.port}"
        clients.append(httpx.Client(base_url=url, timeout=DEADLINE_S, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def django_env(tmp_path: Path) -> dict[str, str]:
    """Make a database with a superuser, and give the environment that the Django site wants."""
    env = {"SITE_DB": str(tmp_path / "site.sqlite3"), "DJANGO_SUPERUSER_PASSWORD": "let me in"}
    code = """
import django_site
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("createsuperuser", interactive=False, username="root", email="root@example.com", verbosity=0)
"""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=SITES,
        env={**os.environ, **env, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=DEADLINE_S,
    )
    return env
