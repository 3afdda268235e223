"""
Finds the application that `module:attribute` names, or says in one sentence why
there is none. What it is to be called with is found out in `interfaces`.
"""

import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.worker.asgi.types import ASGIApp
from penstock.worker.asgi.version_2 import as_asgi3
from penstock.worker.interfaces import Unfit, interface_of, judge, kind_of
from penstock.worker.spec import Interface
from penstock.worker.wsgi.application import WsgiApp

# What a worker can host.
App = ASGIApp | WsgiApp


class AppImportError(Exception):
    """The operator can fix this. Names the target and what is wrong with it."""


def load_app(
    target: str, *, factory: bool = False, interface: Interface = "auto", app_dir: str | None = "."
) -> App:
    """
    Import `module:attribute` and return the application there: ASGI 3 as it is,
    ASGI 2 made callable as ASGI 3, WSGI marked as such.

    The attribute may be dotted and defaults to `app`. With `factory` it is
    called, without arguments, for the application. `app_dir` becomes the first
    entry of `sys.path`. Raises AppImportError; its `__cause__` is what the
    user's own code raised, if it did.
    """
    module_name, _, attribute = target.partition(":")
    attribute = attribute or "app"
    if not module_name:
        raise AppImportError(f"{target!r} names no module; write it as module:attribute")
    _put_first_on_path(app_dir)
    found = _resolve(_import(module_name, target, app_dir), module_name, attribute)
    if factory:
        found = _call_factory(found, target)
    return _as_app(found, target, interface)


def _put_first_on_path(app_dir: str | None) -> None:
    if app_dir is None:
        return
    path = str(Path(app_dir).resolve())
    if sys.path[:1] != [path]:
        while path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)


def _import(module_name: str, target: str, app_dir: str | None) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # Only a part of the name that was asked for; anything else is an import
        # inside the user's module, which its traceback explains better.
        if module_name == missing or module_name.startswith(missing + "."):
            where = "" if app_dir is None else f" (looked first in {Path(app_dir).resolve()})"
            raise AppImportError(f"cannot import {target!r}: no module named {missing!r}{where}") from None
        raise AppImportError(f"cannot import {target!r}: {module_name} needs {missing!r}: {error}") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise AppImportError(f"cannot import {target!r}: {module_name} raised {what}") from error
    except SystemExit as error:
        raise AppImportError(f"cannot import {target!r}: {module_name} called sys.exit({error})") from error


def _resolve(module: ModuleType, module_name: str, attribute: str) -> object:
    found: object = module
    path = module_name
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            message = f"{path} has no attribute {part!r}"
            nearest = _nearest(part, vars(found) if hasattr(found, "__dict__") else dir(found))
            if nearest is not None:
                message += f"; did you mean {nearest!r}?"
            raise AppImportError(message) from None
        path += f".{part}"
    return found


def _nearest(name: str, candidates: Iterable[str]) -> str | None:
    public = [candidate for candidate in candidates if not candidate.startswith("_")]
    matches = difflib.get_close_matches(name, public, n=1)
    return matches[0] if matches else None


def _call_factory(factory: object, target: str) -> object:
    if not callable(factory):
        raise AppImportError(f"{target!r} is {kind_of(factory)}, which cannot be called as a factory")
    try:
        return factory()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise AppImportError(f"the factory {target!r} raised {what}") from error
    except SystemExit as error:
        raise AppImportError(f"the factory {target!r} called sys.exit({error})") from error


def _as_app(found: object, target: str, interface: Interface) -> App:
    try:
        if interface == "auto":
            interface = interface_of(found)
        else:
            judge(found, interface)
    except Unfit as unfit:
        raise AppImportError(f"{target!r} {unfit}") from None
    app: Any = found
    if interface == "wsgi":
        return WsgiApp(app)
    return as_asgi3(app) if interface == "asgi2" else app
