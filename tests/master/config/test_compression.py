"""Compression: what holds for a route."""

import pytest
from msgspec import UNSET

from penstock.master.config import Invocation
from penstock.master.config.compression import Compression, Level, Written, settled
from penstock.worker.http.compression import codings

GZIP = Compression(algorithms=("gzip",))
BROTLI = Compression(algorithms=("br",))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((UNSET, UNSET, UNSET), None),
        ((True, UNSET, UNSET), Compression()),
        ((GZIP, UNSET, UNSET), GZIP),
        ((GZIP, BROTLI, UNSET), BROTLI),
        ((GZIP, UNSET, BROTLI), BROTLI),
        ((GZIP, None, UNSET), None),
        ((GZIP, False, UNSET), None),
        ((UNSET, UNSET, True), Compression()),
        # Off in between, and on again with what the top says.
        ((GZIP, None, True), GZIP),
        ((GZIP, True, True), GZIP),
        ((GZIP, UNSET, None), None),
        ((None, UNSET, GZIP), GZIP),
    ],
)
def test_what_is_nearest_counts(written: tuple[Written, ...], expected: Compression | None) -> None:
    """
    And `true` means what stands above it.
    """
    assert settled(*written) == expected


def test_the_spec_has_each_algorithm_once_with_its_level() -> None:
    """
    In the order of preference.
    """
    compression = Compression(algorithms=("gzip", "zstd", "gzip"), level=Level(zstd=1))

    assert compression.spec().codings == (("gzip", 4), ("zstd", 1))


def test_without_a_word_there_is_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Gzip always is.
    """
    monkeypatch.setattr(codings, "_LIBRARIES", {"br": ("no_such_library",), "zstd": ("no.such",)})

    assert codings.available() == ("gzip",)
    assert Compression().fault is None
    assert "pip install 'penstock[compression]'" in str(BROTLI.fault)


@pytest.mark.parametrize(
    ("options", "is_on"),
    [({}, False), ({"compression": ("true",)}, True), ({"compression": ("false",)}, False)],
)
def test_the_option_is_for_all_routes(options: dict[str, tuple[str, ...]], is_on: bool) -> None:
    """
    Off unless it is asked for.
    """
    config = Invocation(options, "main:app").load({})

    assert (settled(config.compression, UNSET, UNSET) is not None) == is_on


@pytest.mark.parametrize("name", codings.NAMES)
def test_every_level_can_be_made(name: str) -> None:
    """
    With a bound for what is done at once, and memory for a stream.
    """
    least, most = codings.LEVEL_RANGES[name]
    sizes = [codings.make_coding(name, level).inline_bytes_max for level in range(least, most + 1)]

    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 700
