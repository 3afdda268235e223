"""
Redirects and rewrites, as what a route does to the URL of a request.
"""

from typing import Annotated, Literal

from penstock.master.config.kinds import kind
from penstock.master.config.record import Record, says
from penstock.worker.spec import RedirectAction, RewriteSpec


class Redirect(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send clients elsewhere."""

    to: Annotated[
        Annotated[str, kind("redirect_to")],
        says("A path or a URL, with variables such as {rest} and {host}; the query goes with it."),
    ]
    code: Annotated[Literal[301, 302, 303, 307, 308], says("The status code.")] = 307

    def action(self) -> RedirectAction:
        """Write it as the workers are told."""
        return RedirectAction(to=self.to, code=self.code)


class Replace(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put something in place of what an expression finds first."""

    regex: Annotated[
        Annotated[str, kind("regex")], says("Searched for in the decoded path, without its query.")
    ]
    to: Annotated[
        Annotated[str, kind("rewrite_to")], says("What takes its place, with its groups: {1} or {name}.")
    ]


class Rewrite(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask whoever answers for another path. It is stripped, then replaced in, then added to."""

    strip_prefix: Annotated[
        Annotated[str, kind("path_prefix")] | None,
        says("Taken off the path; an app has it in its root_path."),
    ] = None
    replace: Annotated[Replace | None, says("A regular expression, and what takes its place.")] = None
    add_prefix: Annotated[Annotated[str, kind("path_prefix")] | None, says("Put before the path.")] = None

    def spec(self) -> RewriteSpec:
        """Write it as the workers are told."""
        return RewriteSpec(
            strip_prefix=self.strip_prefix,
            replace=None if self.replace is None else (self.replace.regex, self.replace.to),
            add_prefix=self.add_prefix,
        )
