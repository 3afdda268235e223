"""
Changes of headers, of requests and of responses.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Record, says
from penstock.worker.spec import HeaderEdit

EditedName = Annotated[str, kind("edited_name")]
HeaderTemplate = Annotated[str, kind("header_template")]


class HeaderChanges(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Headers that are taken away, set and added, in this order."""

    remove: Annotated[tuple[EditedName, ...], says("Taken away.")] = ()
    set_: Annotated[
        dict[EditedName, HeaderTemplate], says("Set, in place of any that are there; with variables.")
    ] = field(default_factory=dict, name="set")
    add: Annotated[
        dict[EditedName, HeaderTemplate | tuple[HeaderTemplate, ...]],
        says("Added to those that are there; a list adds a header more than once."),
    ] = field(default_factory=dict)

    def edits(self) -> tuple[HeaderEdit, ...]:
        """Write them as the workers are told."""
        return tuple(self._edits())

    def _edits(self) -> Iterator[HeaderEdit]:
        yield from (("remove", name, "") for name in self.remove)
        yield from (("set", name, value) for name, value in self.set_.items())
        for name, values in self.add.items():
            for value in (values,) if isinstance(values, str) else values:
                yield "add", name, value

    def templates(self) -> Iterator[tuple[str, str, str]]:
        """Give each value with its keys."""
        for kind_, name, value in self._edits():
            if kind_ != "remove":
                yield kind_, name, value
