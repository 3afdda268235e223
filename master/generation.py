"""
One code-and-config version of the workers, as the master keeps it.

A worker that dies is replaced by one of its generation, so what that generation
was told is kept as long as anyone runs it.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.master.access_file import AccessFile
from penstock.master.watched import WatchedUpstream
from penstock.worker.apps import App
from penstock.worker.spec import AppAction, WorkerSpec


@dataclass(frozen=True, kw_only=True)
class Generation:
    """
    What a generation serves, and how to start a worker of it.

    `spec` is None for one adopted in a hot restart: its code is gone from this
    process, so it can shrink and never grow.
    """

    number: int
    addresses: frozenset[str]  # the listeners its workers know, as configured
    drain_timeout_s: float
    spec: WorkerSpec | None = None
    tls_contexts: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    apps: Mapping[AppAction, App] = field(default_factory=dict)  # those that are imported already
    groups: tuple[int, ...] = ()
    is_pinned: bool = False
    watched: tuple[WatchedUpstream, ...] = ()  # what the admin process does for its upstreams
    access_file: AccessFile | None = None  # the generation's own: whoever forgets it closes it
