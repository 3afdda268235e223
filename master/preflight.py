"""
The new code's answer to: could you take over?

Runs in a child of the running master, from the same command line as the master
itself. It binds nothing; it reads the config, imports the apps, and looks
whether it understands what it would be handed.
"""

import sys

from penstock.master.config.invocation import Invocation
from penstock.master.config.problems import ConfigError
from penstock.master.handover import HANDOVER_VERSION
from penstock.shm.memfd import LayoutMismatch
from penstock.shm.segment import Segment
from penstock.worker.appmetrics.boot import prepare
from penstock.worker.apps import AppImportError, load_app
from penstock.worker.tracebacks import formatted


def preflight(invocation: Invocation, request: str) -> int:
    """Check everything that can be checked without serving; say what is wrong. Returns the exit status."""
    try:
        _accept(request)
        invocation.enter()
        config = invocation.load()
        prepare()  # An app that is imported finds prometheus_client as it will in a worker.
        for listener in config.listeners:
            for route in listener.leaves:
                if route.app is not None:
                    load_app(
                        route.app,
                        factory=route.factory,
                        interface=route.interface,
                        app_dir=config.app_dir,
                    )
    except (ConfigError, AppImportError, ValueError) as error:
        if isinstance(error, AppImportError) and error.__cause__ is not None:
            # The user's own code raised it, and the user's own lines say why.
            print(formatted(error.__cause__), end="", file=sys.stderr)
        print(error, file=sys.stderr)
        return 1
    return 0


def _accept(request: str) -> None:
    """Judge the hand-over by its version, and look at the segment. Raises ValueError."""
    version, _, segment_fd = request.partition(":")
    if int(version) != HANDOVER_VERSION:
        raise ValueError(
            f"the running master hands over by version {version}, this one takes {HANDOVER_VERSION}"
        )
    try:
        Segment.attach(int(segment_fd))
    except LayoutMismatch as error:
        print(f"warning: {error}; counting would begin anew", file=sys.stderr)
