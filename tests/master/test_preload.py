"""What is imported before the fork, and what is told of it."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from penstock.master import preload as module
from penstock.master.config.listener import Listener
from penstock.master.config.model import Config
from penstock.master.config.route import Respond, Route
from penstock.master.preload import beating, hazards, preload
from penstock.worker.apps import AppImportError
from penstock.worker.spec import AppAction

DEADLINE_S = 20.0

APP = """
made = []

async def app(scope, receive, send):
    pass

def make():
    made.append(1)
    return app
"""


def config(folder: Path, *routes: Route) -> Config:
    return Config(app_dir=str(folder), listeners=(Listener(bind="127.0.0.1:0", routes=routes),))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder with an app, and forget what was imported from it."""
    path, loaded = list(sys.path), set(sys.modules)
    (tmp_path / "preloaded.py").write_text(APP)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def test_each_app_is_imported_and_each_factory_called_once(folder: Path) -> None:
    """What a factory builds is shared too, so the worker is given the app and not its name."""
    made = Route(app="preloaded:make", factory=True)
    apps = preload(config(folder, made, Route(respond=Respond()), made, Route(app="preloaded:app")))

    imported = sys.modules["preloaded"]
    assert apps == {
        AppAction(target="preloaded:make", factory=True): imported.app,
        AppAction(target="preloaded:app"): imported.app,
    }
    assert imported.made == [1]


def test_an_app_that_cannot_be_imported_says_why(folder: Path) -> None:
    """In the words that a worker would use."""
    with pytest.raises(AppImportError, match="preloaded has no attribute 'ap'; did you mean 'app'"):
        preload(config(folder, Route(app="preloaded:ap")))


def test_a_thread_of_the_import_is_told_by_its_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It runs in the master alone: whoever waits for it in a worker waits for ever."""
    (folder / "threaded.py").write_text(
        "import threading\nis_over = threading.Event()\n"
        "threading.Thread(target=is_over.wait, name='refresher').start()\n" + APP
    )
    with caplog.at_level(logging.WARNING):
        preload(config(folder, Route(app="threaded:app")))
    sys.modules["threaded"].is_over.set()

    assert [record.getMessage() for record in caplog.records] == [
        "preload: threads were started at import and do not run in the workers: refresher; "
        "start them in the lifespan's startup"
    ]


def test_a_thread_that_has_ended_or_was_there_is_no_hazard() -> None:
    """Only what would be missed."""
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    assert list(hazards(started=[ended])) == []


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_open_event_loop_is_told(new_loop: type[asyncio.AbstractEventLoop]) -> None:
    """Forked processes share its epoll, and each would get the others' events."""
    loop = new_loop()
    try:
        (told,) = hazards(started=[])
        assert told.startswith("an event loop was made at import")
    finally:
        loop.close()
    assert list(hazards(started=[])) == []


def test_the_master_is_shown_alive_while_an_import_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a probe or a watchdog ends it for being slow. The thread is gone before a fork."""
    monkeypatch.setattr(module, "BEAT_PERIOD_S", 0.001)
    before = set(threading.enumerate())
    beats: list[int] = []
    has_beaten = threading.Event()

    def beat() -> None:
        beats.append(1)
        if len(beats) > 3:
            has_beaten.set()

    with beating(beat):
        assert beats
        assert has_beaten.wait(DEADLINE_S)
    assert not set(threading.enumerate()) - before


def test_the_heart_stops_where_the_import_fails() -> None:
    """The master goes on without the thread, and forks."""
    before = set(threading.enumerate())
    with pytest.raises(AppImportError), beating(lambda: None):
        raise AppImportError
    assert not set(threading.enumerate()) - before
