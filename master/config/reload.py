"""
Reloading while one develops: what is watched, and what is otherwise than in production.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, field, structs

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, FilePath, Record, says
from penstock.master.config.telling import Log

# The time between two writes of an editor or of a checkout is a few milliseconds.
RELOAD_DELAY_S = 0.25
# Whoever develops would rather lose a request of the old code than wait for it.
RELOAD_DRAIN_TIMEOUT_S = 5.0


class Reload(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched for changes."""

    dirs: Annotated[tuple[FilePath, ...], says("Directories that are watched, with all below them.")] = (".",)
    include: Annotated[
        tuple[Annotated[str, kind("glob")], ...],
        says("Patterns of more files that count, beside *.py; also a file, or a directory."),
    ] = ()
    exclude: Annotated[
        tuple[Annotated[str, kind("glob")], ...],
        says("Patterns of files and directories that do not count; also a path."),
    ] = ()
    delay_s: Annotated[Duration, says("How long nothing more must change before workers are replaced.")] = (
        field(default=RELOAD_DELAY_S, name="delay")
    )
    engine: Annotated[
        Literal["auto", "inotify", "poll"],
        says("How changes are noticed; auto: by the kernel's events if watchfiles is installed."),
    ] = "auto"


def for_development(fields: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is otherwise under reload, where the operator has not said it."""
    log: Log = fields.get("log", Log())
    if log.access is UNSET:
        log = structs.replace(log, access=True)
    usual = {"workers": 1, "drain_timeout_s": RELOAD_DRAIN_TIMEOUT_S, "stream_drain_timeout_s": 0.0}
    return usual | fields | {"log": log}
