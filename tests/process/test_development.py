"""
Somebody develops: files change under a running server, and clients notice nothing but new answers.
"""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, free_port, get, wait_for, write_app
from tests.process.traffic import OneShotClients

Start = Callable[..., Server]

APP = """
from shop import ANSWER

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWER})
"""

STREAM = """
import asyncio

async def app(scope, receive, send):
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: hello\\n\\n", "more_body": True})
        while True:
            await asyncio.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWER})

ANSWER = b"one"
"""

# Finds no watchfiles, whatever is installed.
NO_WATCHFILES = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "watchfiles":
            raise ModuleNotFoundError("No module named 'watchfiles'", name=name)

sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "watchfiles" else found(name, package)
"""

BROKEN = "raise RuntimeError('half written')\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write an app in a folder of its own: the server's log lies in another."""
    folder = tmp_path / "src"
    folder.mkdir()
    write_app(folder, APP)
    write_answer(folder, "one")
    return folder


@pytest.fixture(params=["events", "polling"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Give the environment of a server: with watchfiles, or without."""
    if request.param == "events":
        return {}
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_WATCHFILES)
    return {"PYTHONPATH": str(folder)}


def write_answer(folder: Path, answer: str) -> None:
    """Change what the app says, by a new file in the place of the old one."""
    write_app(folder, f"ANSWER = b'{answer}'\n", "shop.py")


def develop(start: Start, source: Path, *options: str, env: dict[str, str] | None = None) -> Server:
    """Start a server that reloads."""
    usual = ("main:app", "--reload", "--lifespan", "off", "--chdir", str(source), "--port", "0")
    return start(*usual, *options, env=env)


def wait_answer(server: Server, answer: str) -> None:
    """Wait until a change has reached the clients."""
    wait_for(lambda: server.get("/")[1] == answer.encode(), f"the answer {answer}:\n{server.output()}")


def process_of(server: Server, title: str) -> psutil.Process | None:
    """Find a child of the master by the title that it has given itself."""
    for child in server.children():
        try:
            if title in " ".join(child.cmdline()):
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def test_edits_reach_clients_and_lose_none_of_them(
    start: Start, source: Path, engine: dict[str, str]
) -> None:
    """
    In any way that an editor writes, as often as it likes, of the same size within a second too.
    """
    server = develop(start, source, env=engine).wait_serving()
    assert f"by {'polling' if engine else 'kernel events'}" in server.output()
    assert "1 worker," in server.output()
    assert server.get("/") == (200, b"one")

    with OneShotClients(server.port, rate=100) as clients:
        for answer in ("two", "six", "ten"):
            write_answer(source, answer)
            wait_answer(server, answer)
        (source / "shop.py").write_text("ANSWER = b'in place'\n")
        wait_answer(server, "in place")
        (source / "goods").mkdir()
        (source / "goods" / "__init__.py").write_text("ANSWER = b'a package'\n")
        write_app(source, APP.replace("shop", "goods"))
        wait_answer(server, "a package")
        (source / "goods").rename(source / "stock")
        write_app(source, APP.replace("shop", "stock"))
        wait_answer(server, "a package")
        write_app(source, "ANSWER = b'new file'\n", "stock/fresh.py")
        write_app(source, "from stock.fresh import ANSWER\n", "stock/__init__.py")
        wait_answer(server, "new file")

    assert clients.outcomes.keys() == {"200"}, f"{clients.outcomes}\n{server.output()}"
    assert '"GET / HTTP/1.1" 200' in server.output(), "the access log is on"
    assert server.stop() == 0


def test_broken_code_leaves_the_old_code_serving_until_it_is_mended(
    start: Start, source: Path, engine: dict[str, str]
) -> None:
    """
    With its traceback in the log, once, and in no response.
    """
    server = develop(start, source, env=engine).wait_serving()
    with OneShotClients(server.port, rate=50) as clients:
        write_app(source, BROKEN, "shop.py")
        wait_for(lambda: "half written" in server.output(), "the traceback")
        wait_for(lambda: "goes on serving" in server.output(), "what follows from it")
        assert server.get("/") == (200, b"one")
        (source / "shop.py").unlink()
        wait_for(lambda: "No module named 'shop'" in server.output(), "the next failure")
        assert server.get("/") == (200, b"one")
        write_answer(source, "mended")
        wait_answer(server, "mended")

    assert clients.outcomes.keys() == {"200"}, clients.outcomes
    assert server.output().count("\nRuntimeError: half written\n") == 1
    assert "penstock/worker" not in server.output()
    assert server.stop() == 0


def test_a_first_start_with_broken_code_waits_until_it_is_mended(
    start: Start, source: Path, engine: dict[str, str]
) -> None:
    """
    Whoever connects meanwhile is answered then. Two workers tell of it once.
    """
    write_app(source, BROKEN, "shop.py")
    port = free_port()
    server = develop(start, source, "--workers", "2", "--port", str(port), env=engine)
    wait_for(lambda: "waiting for a change" in server.output(), "the server to wait")
    answers: list[tuple[int, bytes]] = []
    client = threading.Thread(target=lambda: answers.append(get(port)))
    client.start()

    write_app(source, "ANSWER = b'two'\nraise RuntimeError('nearly')\n", "shop.py")
    wait_for(lambda: server.output().count("waiting for a change") == 2, "the second failure")
    write_answer(source, "mended")

    client.join(DEADLINE_S)
    assert answers == [(200, b"mended")], server.output()
    server.wait_serving()
    for error in ("half written", "nearly"):
        assert server.output().count(f"\nRuntimeError: {error}\n") == 1, server.output()
    write_answer(source, "three")
    wait_answer(server, "three")
    assert server.stop() == 0


def test_a_server_that_waits_for_mending_can_be_stopped(start: Start, source: Path) -> None:
    """
    It leaves nothing, and not as a failure: whoever pressed Ctrl-C knows.
    """
    write_app(source, BROKEN, "shop.py")
    server = develop(start, source)
    wait_for(lambda: "waiting for a change" in server.output(), "the server to wait")
    children = server.children()

    assert server.stop() == 0
    wait_for(lambda: not any(child.is_running() for child in children), "all to be gone")


def test_several_workers_are_all_replaced(start: Start, source: Path) -> None:
    """
    No request is answered by the old code once the roll is over.
    """
    server = develop(start, source, "--workers", "2").wait_serving()
    with OneShotClients(server.port, rate=100) as clients:
        write_answer(source, "two")
        server.wait_generation(2, workers=2)
        assert {server.get("/")[1] for _ in range(20)} == {b"two"}
    assert clients.outcomes.keys() == {"200"}, clients.outcomes


def test_an_open_stream_does_not_keep_the_old_code(start: Start, source: Path) -> None:
    """
    A browser's tab that listens for events, and asks again as soon as it is told that they end.
    """
    write_app(source, STREAM)
    server = develop(start, source).wait_serving()
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as stream:
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"hello" in read_until(stream, b"hello")
        for generation, answer in enumerate(("two", "six", "ten"), start=2):
            write_app(source, STREAM.replace("one", answer))
            wait_answer(server, answer)
            wait_for(partial(serves, server, generation), f"generation {generation} in the status")
        # The app heeds nothing; its stream ends with the time for a drain.
        read_until(stream, b"")
    server.wait_generation(4, workers=1)


def serves(server: Server, generation: int) -> bool:
    """Tell whether the status has come to this generation."""
    return bool(server.status()["master"]["generation"] == generation)


def read_until(stream: socket.socket, mark: bytes) -> bytes:
    """Read until a mark, or with an empty one to the end."""
    received = b""
    while not mark or mark not in received:
        try:
            piece = stream.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            assert not mark, received
            return received
        received += piece
    return received


def test_config_and_env_files_count_as_code(start: Start, source: Path, tmp_path: Path) -> None:
    """
    A changed file is applied, and a broken one refused, as on HUP.
    """
    config, variables = tmp_path / "p.yaml", tmp_path / "vars"
    text = (
        "reload: {delay: 50ms}\nlisteners:\n  - bind: 127.0.0.1:0\n    routes:\n"
        "      - respond: {body: 'BODY ${WHO}'}\n"
    )
    config.write_text(text.replace("BODY", "hello"))
    variables.write_text("WHO=you\n")
    server = start("-c", str(config), "--env-file", str(variables)).wait_serving()
    assert server.get("/") == (200, b"hello you")

    variables.write_text("WHO=them\n")
    wait_answer(server, "hello them")
    write_app(tmp_path, text.replace("BODY", "hi"), "p.yaml")
    wait_answer(server, "hi them")
    config.write_text("listeners: [")
    wait_for(lambda: "reload refused" in server.output(), "the refusal")
    assert server.get("/") == (200, b"hi them")
    # What is watched is a part of it: without `reload` nobody looks any more.
    write_app(tmp_path, text.replace("BODY", "bye").replace("reload: {delay: 50ms}\n", ""), "p.yaml")
    wait_answer(server, "bye them")
    wait_for(lambda: process_of(server, "reloader") is None, "the reloader to be gone")
    assert server.stop() == 0


def test_preload_reloads_by_a_hot_restart(start: Start, source: Path) -> None:
    """
    The master has imported the code, so it becomes another.
    """
    server = develop(start, source, "--preload").wait_serving()
    assert "by a hot restart" in server.output()
    for answer in ("two", "six"):
        write_answer(source, answer)
        wait_answer(server, answer)
    write_app(source, BROKEN, "shop.py")
    wait_for(lambda: "\nRuntimeError: half written\n" in server.output(), "the traceback")
    assert server.get("/") == (200, b"six")
    # Mended while the check of what was broken is under way: it began with importing that.
    began = source / "began"
    write_app(source, f"open({str(began)!r}, 'w')\nimport time\ntime.sleep(1)\nraise ValueError\n", "shop.py")
    wait_for(began.exists, "the check")
    write_answer(source, "mended")
    wait_answer(server, "mended")
    assert server.status()["master"]["pid"] == server.pid
    server.wait_generation(4, workers=1)
    assert len([child for child in server.children() if "reloader" in " ".join(child.cmdline())]) == 1
    assert server.stop() == 0


def test_a_reloader_that_was_killed_is_replaced(start: Start, source: Path) -> None:
    """
    And what changed while there was none is not missed.
    """
    server = develop(start, source).wait_serving()
    reloader = wait_for(lambda: process_of(server, "reloader"), "the reloader")
    assert reloader is not None
    reloader.suspend()
    write_answer(source, "two")
    reloader.kill()
    wait_answer(server, "two")
    write_answer(source, "three")
    wait_answer(server, "three")


def test_nobody_watches_on_when_the_master_was_killed(start: Start, source: Path) -> None:
    """
    The kernel ends the reloader with it.
    """
    server = develop(start, source).wait_serving()
    reloader = wait_for(lambda: process_of(server, "reloader"), "the reloader")
    assert reloader is not None

    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    wait_for(lambda: not reloader.is_running() or reloader.status() == "zombie", "the reloader's end")


def test_a_start_that_hangs_is_told_of_and_can_be_mended(start: Start, source: Path) -> None:
    """
    With the stack of what it hangs in, and without waiting for the end of its time.
    """
    write_app(source, "import time\ntime.sleep(3600)\n", "shop.py")
    server = develop(start, source, "--timeout-worker-startup", "0.5")
    wait_for(lambda: "not ready after 0.5 s (worker_startup_timeout)" in server.output(), "the complaint")
    wait_for(lambda: re.search(r"shop.py.?:2|shop.py., line 2", server.output()), "the stack")
    wait_for(lambda: "could not start: it was not ready within 0.5 s" in server.output(), "the end of it")
    wait_for(lambda: "waiting for a change" in server.output(), "the server to wait")
    write_answer(source, "mended")
    server.wait_serving()
    assert server.get("/") == (200, b"mended")


def test_code_that_hangs_at_the_first_start_is_overtaken_by_an_edit(start: Start, source: Path) -> None:
    """
    Nobody waits two minutes for an endless loop that is mended already.
    """
    write_app(source, f"import time\nopen({str(source / 'began')!r}, 'w')\ntime.sleep(3600)\n", "shop.py")
    server = develop(start, source)
    wait_for((source / "began").exists, "the import")
    write_answer(source, "mended")
    server.wait_serving()
    assert server.get("/") == (200, b"mended")


def test_colours_come_on_a_terminal_alone(start: Start, source: Path) -> None:
    """
    Unless somebody insists; the access log has its own.
    """
    plain = develop(start, source).wait_serving()
    plain.get("/")
    wait_for(lambda: '" 200 ' in plain.output(), "a line of the access log")
    assert "\x1b" not in plain.output()
    plain.stop()

    colored = develop(start, source, env={"FORCE_COLOR": "1"}).wait_serving()
    colored.get("/")
    wait_for(lambda: '" \x1b[32m200\x1b[0m ' in colored.output(), "a line of the access log")
    assert "\x1b[32mINFO\x1b[0m" in colored.output()
