"""
Compression: of which responses, by which codings, at which levels.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from penstock.master.config.kinds import kind
from penstock.master.config.record import Record, Size, says
from penstock.worker.http.compression.codings import LEVEL_RANGES, LEVELS, available, is_available
from penstock.worker.spec import CompressionSpec

EXTRA = "penstock[compression]"

# What is text, or made of it, and formats of fonts and programs that are not compressed themselves.
USUAL_TYPES = (
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/x-ndjson",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
)
# Below, what is saved is less than a packet, and headers that tell of it take some of that.
USUAL_SIZE_MIN = 1024


def _level(name: str) -> Meta:
    least, most = LEVEL_RANGES[name]
    return Meta(ge=least, le=most)


class Level(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hard each coding tries."""

    zstd: Annotated[int, _level("zstd"), says("Of Zstandard.")] = LEVELS["zstd"]
    br: Annotated[int, _level("br"), says("Of brotli, which calls it quality.")] = LEVELS["br"]
    gzip: Annotated[int, _level("gzip"), says("Of gzip.")] = LEVELS["gzip"]


class Compression(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compress responses for clients that accept it."""

    algorithms: Annotated[
        Annotated[tuple[Literal["zstd", "br", "gzip"], ...], Meta(min_length=1)] | None,
        says("The preferred one first. Default: zstd, br and gzip, as far as they are installed."),
    ] = None
    types: Annotated[
        tuple[Annotated[str, kind("media_range")], ...],
        Meta(min_length=1),
        says("Media types that are compressed; a star stands for anything. In place of the default."),
    ] = USUAL_TYPES
    min_size: Annotated[Size, says("Responses known to be smaller are left alone.")] = USUAL_SIZE_MIN
    level: Annotated[Level, says("How hard each algorithm tries.")] = Level()

    @property
    def fault(self) -> str | None:
        """Say which library is missing, if one is."""
        for name in self.algorithms or ():
            if not is_available(name):
                return f"found {name!r}, which is not installed: pip install '{EXTRA}'"
        return None

    def spec(self) -> CompressionSpec:
        """Write it as the workers are told."""
        names = self.algorithms or available()
        return CompressionSpec(
            codings=tuple((name, getattr(self.level, name)) for name in dict.fromkeys(names)),
            types=self.types,
            size_min=self.min_size,
        )


# What may be written for the key: UNSET is what the level above says.
Written = Compression | bool | UnsetType | None

KEY_SAYS = says(
    "Compress responses; true: as the level above says, or with the defaults. "
    "Here for all routes below; a listener or route may say otherwise."
)


def settled(*written: Written) -> Compression | None:
    """Tell what holds for a route, from what stands at the top, at its listener and at itself."""
    settings, is_on = Compression(), False
    for each in written:
        if isinstance(each, Compression):
            settings, is_on = each, True
        elif each is not UNSET:
            is_on = each is True
    return settings if is_on else None
