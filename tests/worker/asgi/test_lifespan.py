"""The lifespan protocol: apps that take part, that do not, and that fail."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
import uvloop

from penstock.worker.asgi.lifespan import Lifespan, LifespanFailed

LOG = logging.getLogger("penstock")
Mode = Literal["auto", "on", "off"]


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on uvloop, and not for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(10.0):
            await scenario()

    uvloop.run(bounded())


class App:
    """Take part, and note what happens."""

    def __init__(self, startup: str = "complete", shutdown: str = "complete") -> None:
        self.answers = {"startup": startup, "shutdown": shutdown}
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer each message as told."""
        assert scope["type"] == "lifespan"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        for part in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{part}"
            self.seen.append(part)
            answer = self.answers[part]
            if answer == "raise":
                raise RuntimeError("boom")
            if answer == "return":
                return
            message = {"type": f"lifespan.{part}.{answer}"}
            if answer == "failed":
                message["message"] = "no database"
            await send(message)
            if answer == "failed":
                return


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_and_shutdown(mode: Mode) -> None:
    """
    Once each, in order; the state is the app's to fill.
    """
    app = App()

    async def scenario() -> None:
        lifespan = Lifespan(app, mode, LOG)
        await lifespan.startup()
        assert app.seen == ["startup"]
        await lifespan.shutdown()
        assert app.seen == ["startup", "shutdown"]
        await lifespan.shutdown()

    run(scenario)


def test_off_calls_nothing() -> None:
    """
    Not even to see whether it would.
    """
    app = App()

    async def scenario() -> None:
        lifespan = Lifespan(app, "off", LOG)
        await lifespan.startup()
        await lifespan.shutdown()

    run(scenario)
    assert not app.seen


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_failed_is_told_with_the_apps_words(mode: Mode) -> None:
    """
    In either mode: the app knows the protocol, and says no.
    """

    async def scenario() -> None:
        with pytest.raises(LifespanFailed, match="no database"):
            await Lifespan(App(startup="failed"), mode, LOG).startup()

    run(scenario)


async def knows_only_http(scope: Any, receive: Any, send: Any) -> None:
    """Refuse the lifespan, as apps do that have none."""
    assert scope["type"] == "http"


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (knows_only_http, {logging.INFO, logging.DEBUG}),
        (App(startup="return"), {logging.INFO}),
        (App(startup="raise"), {logging.WARNING}),
    ],
)
def test_app_without_a_lifespan_is_fine_in_auto(caplog: Any, app: Any, expected: set[int]) -> None:
    """
    Noted in a line; the traceback is for who asks for it, unless it was the startup that raised.
    """
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        lifespan = Lifespan(app, "auto", LOG)
        await lifespan.startup()
        await lifespan.shutdown()

    run(scenario)
    levels = {record.levelno for record in caplog.records if record.name == "penstock"}
    assert levels == expected


@pytest.mark.parametrize("startup", ["raise", "return"])
def test_app_without_a_lifespan_fails_in_on(startup: str) -> None:
    """
    With the app's exception as the cause, if there was one.
    """

    async def scenario() -> None:
        with pytest.raises(LifespanFailed) as caught:
            await Lifespan(App(startup=startup), "on", LOG).startup()
        assert isinstance(caught.value.__cause__, RuntimeError if startup == "raise" else type(None))

    run(scenario)


@pytest.mark.parametrize("shutdown", ["failed", "raise", "return"])
def test_failed_shutdown_is_logged_and_ends(caplog: Any, shutdown: str) -> None:
    """
    The process ends either way.
    """

    async def scenario() -> None:
        lifespan = Lifespan(App(shutdown=shutdown), "auto", LOG)
        await lifespan.startup()
        await lifespan.shutdown()

    run(scenario)
    assert bool([r for r in caplog.records if r.levelno == logging.ERROR]) is (shutdown != "return")


def test_lifespan_that_dies_in_between_is_logged(caplog: Any) -> None:
    """
    Requests go on; but the operator should know.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("boom")

    async def scenario() -> None:
        lifespan = Lifespan(app, "auto", LOG)
        await lifespan.startup()
        await asyncio.sleep(0)
        await lifespan.shutdown()

    run(scenario)
    assert "boom" in caplog.text


def test_shutdown_that_hangs_can_be_bounded() -> None:
    """
    The caller's deadline cancels the app.
    """
    cancelled = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cancelled
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async def scenario() -> None:
        lifespan = Lifespan(app, "on", LOG)
        await lifespan.startup()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lifespan.shutdown(), 0.01)
        await asyncio.sleep(0)

    run(scenario)
    assert cancelled


def test_message_out_of_order_raises() -> None:
    """
    The app is told.
    """
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await send({"type": "lifespan.startup.complete"})
        except RuntimeError as error:
            errors.append(str(error))
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def scenario() -> None:
        lifespan = Lifespan(app, "on", LOG)
        await lifespan.startup()
        await lifespan.shutdown()

    run(scenario)
    assert len(errors) == 1
