"""
A real Site whose app is called in real threads, on the loop of the test.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from penstock.worker.asgi.lifespan import no_lifespan
from penstock.worker.http.route import HostedApp
from penstock.worker.wsgi.application import WsgiApp
from penstock.worker.wsgi.bridge import Bridge
from penstock.worker.wsgi.threads import Threads
from tests.worker.http import conftest as http
from tests.worker.http.conftest import Serving, pytest_pyfunc_call  # noqa: F401 (pytest finds it here)

END_S = 10.0


class WsgiServing:
    """A site for a WSGI app, and its threads."""

    def __init__(self, serving: Serving, threads: Threads) -> None:
        self.threads = threads
        self._serving = serving

    def __getattr__(self, name: str) -> Any:
        return getattr(self._serving, name)


Serve = Callable[..., contextlib.AbstractAsyncContextManager[WsgiServing]]


@pytest.fixture
def serve() -> Serve:
    """Give `serve(app, ...)`, an async context manager of a WsgiServing. Every thread has to end."""
    return _serve


@contextlib.asynccontextmanager
async def _serve(app: Any, *, threads: int = 4, **options: Any) -> AsyncIterator[WsgiServing]:
    pool = Threads(threads, asyncio.get_running_loop())
    hosted = HostedApp(None, no_lifespan(logging.getLogger("penstock")), Bridge(WsgiApp(app), pool))
    async with http._serve(hosted, **options) as serving:
        yield WsgiServing(serving, pool)
    await pool.stop(END_S)
    assert not any(each.is_alive() for each in pool._threads), "a thread hangs"


@pytest.fixture
def quick_switches() -> Any:
    """Have threads take turns a hundred times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    yield
    sys.setswitchinterval(before)
