"""Finding the app that a target names, and saying what is wrong with it."""

import asyncio
import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar
from quart import Quart

from penstock.worker.apps import AppImportError, load_app
from penstock.worker.interfaces import interface_of, is_asgi3
from penstock.worker.wsgi.application import WsgiApp

MODULE = '''
import functools

async def app(scope, receive, send):
    """An ASGI 3 app."""

def wsgi(environ, start_response):
    return []

class WsgiObject:
    def __call__(self, environ, start_response):
        return []

wsgi_object = WsgiObject()

class WsgiClass:
    def __init__(self, environ, start_response):
        pass

    def __iter__(self):
        return iter([])

partial_wsgi = functools.partial(wsgi)

def optional(environ, start_response, debug=False):
    return []

calls = []

class Asgi2:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        calls.append((self.scope["asgi"], receive, send))

def asgi2(scope):
    return Asgi2(scope)

class Asgi3:
    async def __call__(self, scope, receive, send):
        pass

asgi3 = Asgi3()
partial = functools.partial(asgi3)

class Namespace:
    app = asgi3

def plain(scope, receive, send):
    return app(scope, receive, send)

def unknown(*args):
    return app(*args)

def four(a, b, c, d):
    pass

def make():
    return asgi3

def broken():
    raise RuntimeError("no settings")

number = 42
'''


@pytest.fixture
def app_dir(tmp_path: Path) -> Iterator[str]:
    """Make a folder with a module of apps, and take it out of the interpreter again."""
    (tmp_path / "sample_apps.py").write_text(MODULE)
    (tmp_path / "raising_app.py").write_text('raise RuntimeError("boom")')
    (tmp_path / "exiting_app.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "wanting_app.py").write_text("import no_such_module_at_all")
    path, modules = list(sys.path), set(sys.modules)
    yield str(tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize("target", ["app", "asgi3", "partial", "Namespace.app", "plain", "unknown"])
def test_asgi3_apps_are_found(app_dir: str, target: str) -> None:
    """
    Functions, objects, partials, dotted names.
    """
    assert callable(load_app(f"sample_apps:{target}", app_dir=app_dir))
    assert sys.path.count(app_dir) == 1


@pytest.mark.parametrize("target", ["wsgi", "wsgi_object", "WsgiClass", "partial_wsgi", "optional"])
def test_wsgi_apps_are_found(app_dir: str, target: str) -> None:
    """
    By their two arguments: functions, objects such as Flask's, classes that are iterated over.
    """
    app = load_app(f"sample_apps:{target}", app_dir=app_dir)

    assert isinstance(app, WsgiApp)
    assert callable(app.call)


@pytest.mark.parametrize("target", ["Asgi2", "asgi2"])
def test_asgi2_apps_are_called_as_asgi3(app_dir: str, target: str) -> None:
    """
    With the scope first, which says of which version it is, and then with the rest.
    """
    app = load_app(f"sample_apps:{target}", app_dir=app_dir)
    assert not isinstance(app, WsgiApp)
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}}
    asyncio.run(app(scope, "receive", "send"))  # type: ignore[arg-type]

    assert sys.modules["sample_apps"].calls == [
        ({"version": "2.0", "spec_version": "2.4"}, "receive", "send"),
    ]


@pytest.mark.parametrize("target", ["unknown", "wsgi"])
def test_an_interface_that_is_named_is_believed(app_dir: str, target: str) -> None:
    """
    What does not show its arguments is taken for ASGI, and may be something else.
    """
    assert isinstance(load_app(f"sample_apps:{target}", interface="wsgi", app_dir=app_dir), WsgiApp)
    assert not isinstance(load_app(f"sample_apps:{target}", interface="asgi3", app_dir=app_dir), WsgiApp)


@pytest.mark.parametrize(
    ("target", "message"), [("app", "is async, which no WSGI"), ("number", "not an application")]
)
def test_what_cannot_be_is_not_believed(app_dir: str, target: str, message: str) -> None:
    """
    It would fail with every request.
    """
    with pytest.raises(AppImportError, match=message):
        load_app(f"sample_apps:{target}", interface="wsgi", app_dir=app_dir)


def test_frameworks_are_told_apart() -> None:
    """
    Those that most people run; Django's needs its settings to be made, but not to be looked at.
    """
    assert interface_of(Flask("shop")) == "wsgi"
    for module, name, interface in (("asgi", "ASGIHandler", "asgi3"), ("wsgi", "WSGIHandler", "wsgi")):
        handler = getattr(importlib.import_module(f"django.core.handlers.{module}"), name)
        assert interface_of(handler.__new__(handler)) == interface
    assert interface_of(FastAPI()) == "asgi3"
    assert interface_of(Quart("shop")) == "asgi3"
    assert interface_of(Litestar()) == "asgi3"


def test_attribute_defaults_to_app(app_dir: str) -> None:
    """
    As with uvicorn, `main` means `main:app`.
    """
    assert load_app("sample_apps", app_dir=app_dir) is load_app("sample_apps:app", app_dir=app_dir)


def test_factory_is_called(app_dir: str) -> None:
    """
    What it returns is the app.
    """
    assert is_asgi3(load_app("sample_apps:make", factory=True, app_dir=app_dir))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:app", "no module named 'no_such_module'"),
        ("sample_apps.sub:app", "no module named"),
        ("sample_apps:ap", "has no attribute 'ap'; did you mean 'app'?"),
        ("sample_apps:Namespace.nothing", "has no attribute 'nothing'"),
        ("sample_apps:number", "an int, not an application"),
        ("sample_apps:Asgi3", "an instance of it"),
        ("sample_apps:make", "--factory"),
        ("sample_apps:four", "does not look like an application"),
        (":app", "names no module"),
        ("raising_app:app", "RuntimeError: boom"),
        ("exiting_app:app", "called sys.exit(3)"),
        ("wanting_app:app", "needs 'no_such_module_at_all'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(app_dir: str, target: str, message: str) -> None:
    """
    The operator reads the sentence first; the traceback is there as the cause.
    """
    with pytest.raises(AppImportError) as caught:
        load_app(target, app_dir=app_dir)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "cause"),
    [("raising_app", RuntimeError), ("wanting_app", ModuleNotFoundError), ("no_such", None)],
)
def test_what_the_users_code_raised_is_kept(app_dir: str, target: str, cause: type | None) -> None:
    """
    Its traceback points into the user's code; ours would only distract.
    """
    with pytest.raises(AppImportError) as caught:
        load_app(target, app_dir=app_dir)
    assert isinstance(caught.value.__cause__, cause or type(None))


@pytest.mark.parametrize(
    ("target", "message"),
    [("broken", "RuntimeError: no settings"), ("number", "cannot be called as a factory")],
)
def test_factories_that_fail(app_dir: str, target: str, message: str) -> None:
    """
    Said of the factory, not of the app.
    """
    with pytest.raises(AppImportError, match=message):
        load_app(f"sample_apps:{target}", factory=True, app_dir=app_dir)


def test_users_module_called_worker(tmp_path: Path) -> None:
    """
    The name is the user's; ours is penstock.worker.
    """
    (tmp_path / "worker.py").write_text("async def app(scope, receive, send): ...")
    path, before = list(sys.path), sys.modules.pop("worker", None)
    try:
        assert load_app("worker:app", app_dir=str(tmp_path)).__module__ == "worker"
        assert str(Path(sys.modules["worker"].__file__ or "")) == str(tmp_path / "worker.py")
    finally:
        sys.path[:] = path
        del sys.modules["worker"]
        if before is not None:
            sys.modules["worker"] = before


def test_is_asgi3() -> None:
    """
    Asks nothing but the signature.
    """

    async def app(scope: object, receive: object, send: object) -> None: ...

    assert is_asgi3(app)
    assert is_asgi3(functools.partial(app))
    assert not is_asgi3(lambda environ, start_response: [])
    assert not is_asgi3(42)
