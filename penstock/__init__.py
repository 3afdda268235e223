"""
Penstock: a pre-fork, multi-process network server in Python.

One uvloop process per core, no dropped request when anything restarts, and one
set of numbers over all of them. The code lives in three folders that import
downwards only: `penstock.master`, `penstock.worker`, `penstock.shm`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Unpack

    from penstock.master.keywords import Keywords

__all__ = ["__version__", "run"]

__version__ = "0.1.0"


def run(app: "str | Callable[..., Any] | None" = None, **options: "Unpack[Keywords]") -> None:
    """
    Serve an app until the server is stopped, as `uvicorn.run` does.

    `app` is `"module:attribute"` or the application itself; `options` are those
    of the command line, with underscores: `run(app, host="0.0.0.0", workers=4)`.
    Called in the main thread, under `if __name__ == "__main__":`. Raises
    TypeError for an option that there is not, RuntimeError where no server can
    be started, and SystemExit, with the status that the command would have, if
    the server did not start.
    """
    # Here and not above: an app that imports us for anything else needs none of it.
    from penstock.master.call import run as run_server  # noqa: PLC0415

    run_server(app, options)
