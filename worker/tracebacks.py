"""
Tracebacks of the app's code begin with the app's code.

Above it are always the same frames of the server, which called it.
"""

import traceback
from types import TracebackType

# Who calls the user's code: to run it, and to import it.
_CALLERS = ("penstock.", "importlib", "_frozen_importlib", "asyncio.")


def without_callers(error: BaseException) -> TracebackType | None:
    """Find where the user's code begins in a traceback; all of it if it never does."""
    found = error.__traceback__
    while found is not None and _is_caller(found):
        found = found.tb_next
    # A syntax error has no frame of its own, but says where it is.
    return found if found is not None or isinstance(error, SyntaxError) else error.__traceback__


def exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """Give an exception to a logging call, without the frames of the server."""
    return type(error), error, without_callers(error)


def formatted(error: BaseException) -> str:
    """Write an exception without the frames of the server."""
    return "".join(traceback.format_exception(type(error), error, without_callers(error)))


def _is_caller(frame: TracebackType) -> bool:
    name = frame.tb_frame.f_globals.get("__name__", "")
    return isinstance(name, str) and (name + ".").startswith(_CALLERS)
