"""
Another path for whoever answers, made of the path that was asked for.

Prefixes are taken off and expressions are matched where the path is decoded, and cut
where it is as it was sent: what a client has encoded stays encoded. Pure.
"""

from typing import NamedTuple

from penstock.worker.http.captures import groups
from penstock.worker.http.patterns import compile_pattern, groups_of
from penstock.worker.http.raw_paths import (
    below_root,
    decoded,
    raw_span,
    single_slash,
    uri_safe,
    without_prefix,
)
from penstock.worker.http.template import Template
from penstock.worker.spec import RewriteSpec


class Rewritten(NamedTuple):
    """
    What is asked of whoever answers: the root path, the path, and that as it is sent.

    For an app it has the root path in front, as ASGI wants it; else it has not.
    """

    root_path: str
    path: str
    raw_path: bytes


class Rewrite:
    """
    How the paths of a route are rewritten.

    For an app, a prefix that is only taken off is not lost: it becomes a part of the
    root path, as if the app were mounted there, and the links that it makes are right.
    """

    __slots__ = ("_add", "_is_app", "_is_mount", "_pattern", "_prefix", "_template")

    def __init__(self, spec: RewriteSpec, *, is_app: bool) -> None:
        self._prefix = (spec.strip_prefix or "").rstrip("/")
        self._add = uri_safe((spec.add_prefix or "").rstrip("/").encode())
        self._pattern = self._template = None
        if spec.replace is not None:
            self._pattern = compile_pattern(spec.replace[0])
            self._template = Template(spec.replace[1], groups_of(spec.replace[0]), "utf-8")
        self._is_app = is_app
        self._is_mount = is_app and bool(self._prefix) and spec.replace is None and spec.add_prefix is None

    def apply(self, root_path: str, path: str, raw_path: bytes) -> Rewritten:
        """Rewrite a path that has the root path in front, or was sent without it."""
        if raw_path == b"*":
            return Rewritten(root_path, path, raw_path)
        below, raw = below_root(path, raw_path, root_path)
        if self._is_mount:
            return self._mounted(root_path, path, raw_path, raw)
        raw = self.target(below, raw)
        if not self._is_app:
            return Rewritten(root_path, decoded(raw), raw)
        return Rewritten(root_path, root_path + decoded(raw), root_path.encode() + raw)

    def target(self, path: str, raw_path: bytes) -> bytes:
        """Rewrite a path below the root."""
        if self._prefix:
            rest = without_prefix(raw_path, self._prefix.encode())
            if rest is not None:
                raw_path = single_slash(rest)
                path = decoded(raw_path)
        if self._pattern is not None and self._template is not None:
            match = self._pattern.search(path)
            if match is not None:
                captured = groups(match, path, raw_path)
                before = raw_span(path, raw_path, 0, match.start())
                after = raw_span(path, raw_path, match.end(), len(path))
                raw_path = before + uri_safe(self._template.render(lambda name: captured[name])) + after
        return single_slash(self._add + raw_path if raw_path[:1] == b"/" else self._add + b"/" + raw_path)

    def _mounted(self, root_path: str, path: str, raw_path: bytes, raw: bytes) -> Rewritten:
        rest = without_prefix(raw, self._prefix.encode())
        if rest is None:
            return Rewritten(root_path, path, raw_path)
        if not rest:
            path, raw_path = path + "/", raw_path + b"/"
        return Rewritten(root_path + self._prefix, path, raw_path)
