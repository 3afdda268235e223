"""
From the configuration to what is watched: directories, patterns, single files.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from penstock.master.config.invocation import Invocation
from penstock.master.config.model import Config

# Its own variable, for file systems that tell of nothing: network mounts, some of virtual machines.
FORCE_POLLING = "WATCHFILES_FORCE_POLLING"

DEFAULT_INCLUDES = ("*.py",)
DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")


@dataclass(frozen=True, kw_only=True)
class WatchPlan:
    """What is watched, and how. Paths are absolute."""

    roots: tuple[str, ...]
    files: tuple[str, ...] = ()  # These count whatever they are called.
    includes: tuple[str, ...] = DEFAULT_INCLUDES
    excludes: tuple[str, ...] = DEFAULT_EXCLUDES
    excluded_paths: tuple[str, ...] = ()
    delay_s: float = 0.25
    polls: bool = False

    @property
    def how(self) -> str:
        """The way in which changes are noticed, in words."""
        return "polling" if self.polls else "kernel events"


def plan_of(config: Config, invocation: Invocation) -> WatchPlan | None:
    """Plan what is watched, in the current directory; None: nothing."""
    wanted = config.reloading
    if wanted is None:
        return None
    more_roots, files, includes = _sorted_out(wanted.include)
    excluded_roots, excluded_files, excludes = _sorted_out(wanted.exclude)
    return WatchPlan(
        roots=_each_once(os.path.realpath(each) for each in (*wanted.dirs, *more_roots)),
        files=_each_once(
            os.path.realpath(each)
            for each in (*files, *filter(None, (invocation.config_file, invocation.env_file)))
        ),
        includes=_each_once([*(each for each in DEFAULT_INCLUDES if each not in excludes), *includes]),
        excludes=_each_once([*(each for each in DEFAULT_EXCLUDES if each not in includes), *excludes]),
        excluded_paths=_each_once(os.path.realpath(each) for each in (*excluded_roots, *excluded_files)),
        delay_s=wanted.delay_s,
        polls=wanted.engine == "poll" or (wanted.engine == "auto" and not has_events()),
    )


def has_events() -> bool:
    """Whether there is a library that hears of changes from the kernel, and it is not to be left alone."""
    forced = os.environ.get(FORCE_POLLING, "").lower()
    return forced in ("", "0", "false", "disable", "disabled") and find_spec("watchfiles") is not None


def _sorted_out(written: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Tell directories, files and patterns apart, by what is there."""
    directories: list[str] = []
    files: list[str] = []
    patterns: list[str] = []
    for each in written:
        is_path = "/" in each or not set("*?[") & set(each)
        if is_path and Path(each).is_dir():
            directories.append(each)
        elif "/" in each and Path(each).is_file():
            files.append(each)
        else:
            patterns.append(each.rstrip("/"))
    return directories, files, patterns


def _each_once(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
