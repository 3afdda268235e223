"""
What every record of the configuration is made of.

Field names carry their units; the key in the file is the name without them.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from penstock.master.config.kinds import kind

AppTarget = Annotated[str, kind("app")]
BindText = Annotated[str, kind("bind")]
Duration = Annotated[float, kind("duration")]
FilePath = Annotated[str, kind("file_path")]
HeaderName = Annotated[str, kind("header_name")]
HeaderValue = Annotated[str, kind("header_value")]
Label = Annotated[str, kind("label")]
Size = Annotated[int, kind("size")]


def says(description: str) -> Meta:
    """Describe a key, in the schema and in the docs."""
    return Meta(description=description)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A mapping of the file. LATER names keys that are planned and not built yet, ABSENT
    those of its parent class that cannot be written here.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()
    ABSENT: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Fill in the defaults that depend on other fields."""
        return fields
