"""
Imports the apps before any worker is forked, so that all of them share one copy of what it loads.

The modules then stay in this process for as long as its image does: new code
takes a new image. What an import leaves running does not come along in a fork.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from penstock.master.config.model import Config
from penstock.worker.apps import App, load_app
from penstock.worker.logs import LOG
from penstock.worker.spec import AppAction

# `/livez` gives a silent master ten seconds, and the watchdog of systemd is rarely set to less.
BEAT_PERIOD_S = 1.0


def preload(config: Config) -> Mapping[AppAction, App]:
    """Import every app of a configuration, and call the factories. Raises AppImportError."""
    started_s, threads = time.monotonic(), set(threading.enumerate())
    apps: dict[AppAction, App] = {}
    for action in actions_of(config):
        apps[action] = load_app(
            action.target, factory=action.factory, interface=action.interface, app_dir=config.app_dir
        )
    if config.tracing is not None and config.tracing.endpoint is not None:
        # Modules alone: threads and connections are made in each worker.
        import penstock.worker.tracing.tracing  # noqa: F401, PLC0415
    count = f"{len(apps)} app" if len(apps) == 1 else f"{len(apps)} apps"
    LOG.info("preload: imported %s in %.1f s", count, time.monotonic() - started_s)
    for warning in hazards(started=[each for each in threading.enumerate() if each not in threads]):
        LOG.warning("preload: %s", warning)
    return apps


def actions_of(config: Config) -> Iterator[AppAction]:
    """List the apps of a configuration, each once."""
    actions = {
        AppAction(target=route.app, factory=route.factory, interface=route.interface): None
        for listener in config.listeners
        for route in listener.leaves
        if route.app is not None
    }
    return iter(actions)


def hazards(*, started: list[threading.Thread]) -> Iterator[str]:
    """Say what the apps made at their import that is of no use, or worse, after a fork."""
    alive = [each.name for each in started if each.is_alive()]
    if alive:
        yield (
            f"threads were started at import and do not run in the workers: {', '.join(alive)}; "
            "start them in the lifespan's startup"
        )
    # By its type: an object may be a proxy, which makes something when it is asked what it is.
    loops = [each for each in gc.get_objects() if issubclass(type(each), asyncio.AbstractEventLoop)]
    if any(not each.is_closed() for each in loops):
        yield (
            "an event loop was made at import, and the workers have another; "
            "whatever belongs to it is to be made in the lifespan's startup"
        )


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """
    Have the master shown alive, from a thread, while an import keeps it.

    For a hot restart alone: on a first start nobody has been told yet that there
    is a server. The thread is gone before anything is forked.
    """
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.wait(BEAT_PERIOD_S):
            beat()

    beat()
    thread = threading.Thread(target=go_on, name="preload", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
