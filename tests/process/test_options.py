"""Options that change what a worker or the app finds: shown by a real server."""

import http.client
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, run_penstock, write_app

Start = Callable[..., Server]

APP = """
import contextvars
import json
import os
import sys

import beside

colour = contextvars.ContextVar("colour", default="none")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        colour.set("blue")
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    mask = os.umask(0)
    os.umask(mask)
    seen = {"colour": colour.get(), "env": os.environ.get("SHOP"), "umask": mask, "beside": beside.VALUE}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"app")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Put an app in one folder and what it imports in another."""
    (tmp_path / "lib").mkdir()
    write_app(tmp_path / "lib", "VALUE = 'lib'\n", "beside.py")
    write_app(tmp_path, APP)
    return tmp_path


def headers(server: Server) -> list[tuple[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    try:
        connection.request("GET", "/")
        return [(name.lower(), value) for name, value in connection.getresponse().getheaders()]
    finally:
        connection.close()


def test_what_the_app_finds_is_what_was_asked_for(start: Start, folder: Path) -> None:
    """
    Environment, sys.path, umask and context, also after a reload and a hot restart.
    """
    options = ["-e", "SHOP=a=b", "--pythonpath", "lib", "-m", "027", "--reset-contextvars"]
    server = start("main:app", "--port", "0", "--workers", "1", *options).wait_serving()
    expected = {"colour": "none", "env": "a=b", "umask": 0o027, "beside": "lib"}
    assert json.loads(server.get("/")[1]) == expected

    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert json.loads(server.get("/")[1]) == expected
    server.signal(signal.SIGUSR2)
    server.wait_generation(3, workers=1)
    assert json.loads(server.get("/")[1]) == expected


def test_default_headers_are_on_every_response(start: Start, folder: Path) -> None:
    """
    But for those that the app sets itself.
    """
    options = ["--header", "X-Own: server", "--header", "X-A:1", "--header", "X-A: 2", "--no-server-header"]
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--no-date-header", *options, "--pythonpath", "lib"
    ).wait_serving()

    found = sorted(pair for pair in headers(server) if pair[0] != "content-length")
    assert found == [("x-a", "1"), ("x-a", "2"), ("x-own", "app")]


def test_chdir_is_followed_by_a_hot_restart(start: Start, folder: Path) -> None:
    """
    The check of the new code goes there too.
    """
    (folder / "inner").mkdir()
    (folder / "main.py").rename(folder / "inner" / "main.py")
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--chdir", "inner", "--pythonpath", str(folder / "lib")
    ).wait_serving()

    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)


def test_variables_of_another_server_start_this_one(start: Start, folder: Path) -> None:
    """
    One notice says what was read, and the server is as asked.
    """
    env = {
        "UVICORN_APP": "main:app",
        "UVICORN_PORT": "0",
        "UVICORN_WORKERS": "2",
        "PENSTOCK_WORKERS": "1",
        "GUNICORN_CMD_ARGS": "--pythonpath lib -k uvicorn.workers.UvicornWorker",
    }
    server = start(env=env).wait_serving()

    assert json.loads(server.get("/")[1])["beside"] == "lib"
    assert len(server.status()["workers"]) == 1
    assert (
        server.output().count(
            "GUNICORN_CMD_ARGS, UVICORN_APP, UVICORN_PORT and UVICORN_WORKERS are read; "
            "the names here are PENSTOCK_PYTHONPATH, PENSTOCK_APP, PENSTOCK_PORT and PENSTOCK_WORKERS"
        )
        == 1
    )
    assert os.environ.get("UVICORN_APP") is None


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (["--pythonpath", "nowhere"], {}, "--pythonpath: found 'nowhere', expected a directory"),
        (["-e", "secret"], {}, "--env: found 'secret', expected NAME=value"),
        (["--header", "X"], {}, "--header: found 'X', expected NAME:VALUE"),
        (["--header", "X Y: 1"], {}, "--header: found 'X Y', expected a header name"),
        (["--header", "Date: now"], {}, "--header: found a fixed date"),
        (
            ["--header", "Connection: close"],
            {},
            "expected another header: this one is set by Penstock itself",
        ),
        (["-m", "999"], {}, "--umask: found '999', expected a mask in octal such as 022"),
        ([], {"UVICORN_WORKERS": "x"}, "UVICORN_WORKERS: found 'x', expected an integer"),
        ([], {"GUNICORN_CMD_ARGS": "-w x"}, "GUNICORN_CMD_ARGS: -w: found 'x', expected an integer"),
        ([], {"GUNICORN_CMD_ARGS": "-D"}, "GUNICORN_CMD_ARGS: -D: Penstock stays in the foreground"),
    ],
)
def test_what_cannot_be_done_is_told_by_who_asked(
    folder: Path, words: list[str], env: dict[str, str], told: str
) -> None:
    """
    An option, or a variable, in one line and with status 2.
    """
    done = run_penstock("check", "main:app", *words, cwd=folder, env=env)

    assert done.returncode == 2
    assert told in done.stderr
