"""
What an application is to be called with, found out by looking at it.

Nothing is called: what counts is whether it is a class, whether it is async, and
how many arguments it must have.
"""

import functools
import inspect

from penstock.worker.spec import Interface

_EXPECTED = "expected ASGI, async def app(scope, receive, send), or WSGI, def app(environ, start_response)"


class Unfit(Exception):
    """It is no application that can be hosted. Says why, to be read after its name."""


def interface_of(found: object) -> Interface:
    """Tell which interface an application has. Raises Unfit."""
    if not callable(found):
        raise Unfit(f"is {kind_of(found)}, not an application that can be called")
    if is_asgi3(found):
        return "asgi3"
    count = required_parameter_count(found)
    if count == 2:
        return "wsgi"  # A class of two: its instances are iterables, which PEP 3333 has as its first example.
    if count == 1:
        return "asgi2"  # A class, or a function that gives one.
    if inspect.isclass(found):
        raise Unfit("is a class, not an application; an instance of it may be one")
    if count == 0:
        raise Unfit("takes no arguments; if it makes the application, say --factory")
    if count is None or count == 3:
        # A plain function that returns an awaitable is as good as an async one;
        # and what does not show its parameters gets the benefit of the doubt.
        return "asgi3"
    raise Unfit(f"is {kind_of(found)}, which does not look like an application; {_EXPECTED}")


def judge(found: object, interface: Interface) -> None:
    """Raise Unfit if something cannot be what it is said to be."""
    if not callable(found):
        raise Unfit(f"is {kind_of(found)}, not an application that can be called")
    if interface == "wsgi" and _is_coroutine_callable(found):
        raise Unfit("is async, which no WSGI application is; --interface wsgi does not fit it")


def is_asgi3(found: object) -> bool:
    """
    Tell whether an object can be called with scope, receive and send and awaited.
    """
    if inspect.isclass(found):
        # An instance of it is the application, or it is itself awaitable.
        return hasattr(found, "__await__")
    return _is_coroutine_callable(found)


def required_parameter_count(found: object) -> int | None:
    """Count the arguments that a callable must be given; None: it does not say."""
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


def kind_of(found: object) -> str:
    """Name the type of something, with an article."""
    name = type(found).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _is_coroutine_callable(found: object) -> bool:
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.iscoroutinefunction(found):
        return True
    return inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004
