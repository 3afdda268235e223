"""
Finds the ASGI application that `module:attribute` names, or says in one
sentence why there is none.
"""

import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from penstock.worker.asgi.types import ASGIApp

WSGI_PARAMETER_COUNT = 2
ASGI3_PARAMETER_COUNT = 3


class AppImportError(Exception):
    """The operator can fix this. Names the target and what is wrong with it."""


def load_app(target: str, *, factory: bool = False, app_dir: str | None = ".") -> ASGIApp:
    """
    Import `module:attribute` and return the ASGI 3 application there.

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
    return _as_asgi3(found, target)


def is_asgi3(found: object) -> bool:
    """
    Tell whether an object can be called with scope, receive and send and awaited.
    """
    if inspect.isclass(found):
        # An instance of it is the application, or it is itself awaitable.
        return hasattr(found, "__await__")
    return _is_coroutine_callable(found)


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
        raise AppImportError(f"{target!r} is {_kind(factory)}, which cannot be called as a factory")
    try:
        return factory()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise AppImportError(f"the factory {target!r} raised {what}") from error
    except SystemExit as error:
        raise AppImportError(f"the factory {target!r} called sys.exit({error})") from error


def _as_asgi3(found: object, target: str) -> ASGIApp:
    if not callable(found):
        raise AppImportError(f"{target!r} is {_kind(found)}, not an application that can be called")
    if is_asgi3(found):
        return found
    count = _required_parameter_count(found)
    if inspect.isclass(found):
        if count == 1:
            raise AppImportError(
                f"{target!r} is an ASGI 2 application (a class called with the scope); {_ASGI3}"
            )
        raise AppImportError(f"{target!r} is a class, not an application; an instance of it may be one")
    if count == WSGI_PARAMETER_COUNT:
        raise AppImportError(f"{target!r} is a WSGI application; WSGI apps are not supported yet")
    if count == 1:
        raise AppImportError(f"{target!r} is an ASGI 2 application (called twice); {_ASGI3}")
    if count == 0:
        raise AppImportError(f"{target!r} takes no arguments; if it makes the application, say --factory")
    if count is None or count == ASGI3_PARAMETER_COUNT:
        # A plain function that returns an awaitable is as good as an async one;
        # and what does not show its parameters gets the benefit of the doubt.
        return found
    raise AppImportError(
        f"{target!r} is {_kind(found)}, which does not look like an ASGI application; {_ASGI3}"
    )


_ASGI3 = "Penstock hosts ASGI 3: async def app(scope, receive, send)"


def _is_coroutine_callable(found: object) -> bool:
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.iscoroutinefunction(found):
        return True
    return inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004


def _required_parameter_count(found: object) -> int | None:
    try:
        parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None  # A callable written in C need not say.
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(
        parameter.kind in positional and parameter.default is inspect.Parameter.empty
        for parameter in parameters
    )


def _kind(found: object) -> str:
    name = type(found).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
