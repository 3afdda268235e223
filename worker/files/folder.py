"""
A folder whose files are served: finds what a path means there, and keeps open what
was asked for a moment ago.

What is kept is looked up again at the next tick of the clock, half a second later,
so a changed file is seen, and one that is replaced is sent as it was opened.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from penstock.worker.files.encodings import IDENTITY
from penstock.worker.files.media import MediaTypes
from penstock.worker.files.paths import name_of, prefix_of
from penstock.worker.files.target import SUFFIXES, Target, Variant, is_older, is_regular
from penstock.worker.limits import FILES_IDLE_S, FILES_OPEN_MAX
from penstock.worker.opening import FOLDER_FLAGS, Descriptor, open_beneath
from penstock.worker.spec import FilesAction

# What it means that there is no such file. EXDEV: it leads out of the folder.
_MISSING = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EXDEV),
        *(errno.ENXIO, errno.ENODEV, errno.EINVAL, errno.EISDIR),
    )
)
_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM))


class Elsewhere(NamedTuple):
    """A folder with an index, named without its slash."""


class Refusal(NamedTuple):
    """There is nothing to send."""

    status: HTTPStatus


Found = Target | Elsewhere | Refusal

ELSEWHERE = Elsewhere()
NOT_FOUND = Refusal(HTTPStatus.NOT_FOUND)
FORBIDDEN = Refusal(HTTPStatus.FORBIDDEN)

_Opened = tuple[Descriptor, os.stat_result]


class Folder:
    """What a `files:` route serves, in one worker."""

    def __init__(
        self,
        action: FilesAction,
        pattern: str | None,
        loop: asyncio.AbstractEventLoop,
        now_s: Callable[[], float],
        root_path: str = "",
    ) -> None:
        """Prepare; `pattern` is the route's path, `now_s` the site's clock."""
        self._action = action
        self._loop = loop
        self._now_s = now_s
        self._prefix = prefix_of(pattern)
        self._raw_root_path = root_path.encode()
        self._media = MediaTypes(dict(action.types))
        self._index = None if action.index is None else os.fsencode(action.index)
        self._fallback = None if action.fallback is None else os.fsencode(action.fallback.lstrip("/"))
        cache_control = action.cache_control
        self._more = [] if cache_control is None else [(b"cache-control", cache_control.encode("latin-1"))]
        # By the path of the request, or by the fallback's name.
        self._targets: dict[bytes, Target] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._root: Descriptor | None = None
        self._root_seen_s = -1.0

    def kept(self, raw_path: bytes) -> Target | None:
        """Return what a path was found to mean a moment ago."""
        target = self._targets.get(raw_path)
        if target is None:
            return None
        now_s = target.used_s = self._now_s()
        return target if target.seen_s == now_s else None

    def find(self, raw_path: bytes, *, may_wait: bool) -> Found:
        """
        Find what a path means. Raises OSError when something is wrong with the
        machine, and BlockingIOError when it `may_wait` not, and would have to.

        It may be called by a thread.
        """
        name = self._name_of(raw_path)
        if name is None:
            return NOT_FOUND
        root = self._open_root()
        if root is None:
            return NOT_FOUND
        found = self._look(root, name, may_wait=may_wait)
        if found is NOT_FOUND and self._fallback is not None:
            found = self.kept(self._fallback) or self._look(root, self._fallback, may_wait=may_wait)
            if type(found) is Target:
                found.key = self._fallback
        return found

    def keep(self, raw_path: bytes, target: Target) -> None:
        """Keep what was found, for those who ask for it soon. Called by the loop alone."""
        raw_path = target.key or raw_path
        target.seen_s = target.used_s = self._now_s()
        if len(self._targets) >= FILES_OPEN_MAX and raw_path not in self._targets:
            oldest = sorted(self._targets, key=lambda path: self._targets[path].used_s)
            for path in oldest[: FILES_OPEN_MAX // 4]:
                del self._targets[path]
        self._targets[raw_path] = target
        if self._sweep is None:
            self._sweep = self._loop.call_later(FILES_IDLE_S, self._let_go)

    def forget(self, raw_path: bytes | None = None) -> None:
        """Close what is kept of a path, or all, such as when there are no descriptors left."""
        if raw_path is None:
            self._targets.clear()
        else:
            self._targets.pop(raw_path, None)

    def _let_go(self) -> None:
        """Close what nobody has asked for lately: it may be deleted, and take up a disk."""
        self._sweep = None
        since_s = self._now_s() - FILES_IDLE_S
        self._targets = {path: target for path, target in self._targets.items() if target.used_s > since_s}
        if self._targets:
            self._sweep = self._loop.call_later(FILES_IDLE_S, self._let_go)

    def _name_of(self, raw_path: bytes) -> bytes | None:
        shows = self._action.dotfiles
        under = self._raw_root_path
        if under and raw_path.startswith(under):
            # The site has put it in front, unless the client had.
            name = name_of(raw_path[len(under) :], self._prefix, shows_dotfiles=shows)
            if name is not None:
                return name
        return name_of(raw_path, self._prefix, shows_dotfiles=shows)

    def _open_root(self) -> Descriptor | None:
        """Open the folder by its name now and then: it may be a symlink that a deployment switches."""
        now_s = self._now_s()
        if self._root is None or self._root_seen_s != now_s:
            try:
                self._root = Descriptor(os.open(self._action.root, FOLDER_FLAGS))
            except FileNotFoundError:
                self._root = None
            self._root_seen_s = now_s
        return self._root

    def _look(self, root: Descriptor, name: bytes, *, may_wait: bool) -> Found:
        try:
            if not name or name.endswith(b"/"):
                if self._index is None:
                    return NOT_FOUND
                name += self._index
            file, about = self._open(root, name, may_wait=may_wait)
            if stat.S_ISDIR(about.st_mode) and self._index is not None:
                _, about = self._open(root, name + b"/" + self._index, may_wait=may_wait)
                return ELSEWHERE if is_regular(about) else NOT_FOUND
            if not is_regular(about):
                return NOT_FOUND
            return self._target(root, name, file, about, may_wait=may_wait)
        except OSError as error:
            if error.errno in _MISSING:
                return NOT_FOUND
            if error.errno in _FORBIDDEN:
                return FORBIDDEN
            raise

    def _target(
        self, root: Descriptor, name: bytes, file: Descriptor, about: os.stat_result, *, may_wait: bool
    ) -> Target:
        others: dict[bytes, _Opened] = {}
        if self._action.precompressed:
            for coding, suffix in SUFFIXES.items():
                try:
                    other = self._open(root, name + suffix, may_wait=may_wait)
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno not in _MISSING | _FORBIDDEN:
                        raise
                    continue
                if is_regular(other[1]) and not is_older(other[1], about):
                    others[coding] = other
        more = [*self._more, (b"vary", b"accept-encoding")] if others else self._more
        media = self._media.of(name)
        return Target(
            {
                coding: Variant(each, stated, coding, media, more)
                for coding, (each, stated) in {IDENTITY: (file, about), **others}.items()
            }
        )

    def _open(self, root: Descriptor, name: bytes, *, may_wait: bool) -> _Opened:
        file = Descriptor(
            open_beneath(root.fd, name, follows=self._action.follow_symlinks, may_wait=may_wait)
        )
        return file, os.fstat(file.fd)
