"""
Whether the usual request goes through C: where `_relay` was built, and counting is native as well.

Knows none of the classes; `relay` introduces them.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final

from penstock.shm.counting import IMPLEMENTATION

EXTENSION: Final = "penstock.worker.gateway._relay"

Relaying = Callable[[Any, bytes], bool]


def _load() -> Any:
    if IMPLEMENTATION != "native":
        return None
    try:
        return importlib.import_module(EXTENSION)
    except ImportError:
        return None


def _leave_to_python(_: Any, __: bytes) -> bool:
    return False


_extension: Final = _load()
IS_NATIVE: Final = _extension is not None
# Take a connection or a link, and what it has received. True: it is done.
begin: Final[Relaying] = _extension.begin if IS_NATIVE else _leave_to_python
finish: Final[Relaying] = _extension.finish if IS_NATIVE else _leave_to_python
# Make the client's head of a server's, with status and size of the body; None: Python has to judge it.
compose: Final[Callable[[bytes], tuple[int, int, bytes] | None]] = (
    _extension.compose if IS_NATIVE else lambda _: None
)
# Make a server's head of a client's; for tests, since `begin` does it by itself.
request: Final[Any] = _extension.request if IS_NATIVE else None


def attach(*told: Any) -> None:
    """Introduce the classes. Raises TypeError for what is no slot."""
    if _extension is not None:
        _extension.attach(*told)
