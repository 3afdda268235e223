"""The pictures of the bench, read back as XML, and the axes below them."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from bench import scale, svg
from bench.histogram import Histogram
from bench.plot import Bar, Curve, bars, percentile_plot
from hypothesis import given
from hypothesis import strategies as st

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>alert(1)</script>&\"'\x00\x1b\ud800"
LATENCIES = Histogram([1000] * 980 + [9000] * 19 + [250_000]).curve()


def texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def drawn(root: ET.Element, class_: str) -> list[ET.Element]:
    return [each for each in root.iter() if class_ in each.get("class", "").split()]


def curves_of(root: ET.Element) -> list[list[tuple[float, float]]]:
    """Return the points of the curves, without the strokes of the legend."""
    paths = [each.get("d", "") for each in drawn(root, "curve")]
    return [
        [(float(x), float(y)) for x, y in (pair.split() for pair in path[1:].split("L"))]
        for path in paths
        if "H" not in path
    ]


def test_a_stall_is_seen_in_the_tail() -> None:
    """
    The curve rises to the right, and its last point is the slowest request.
    """
    root = ET.fromstring(percentile_plot({"penstock": LATENCIES}, "Latency"))

    [points] = curves_of(root)
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert points[0][1] - points[-1][1] > 150
    assert any("p50 1, p99 9.0" in text and "max 250 ms" in text for text in texts(root)), texts(root)


def test_axes_say_what_they_show() -> None:
    """
    A picture without units is decoration.
    """
    shown = texts(ET.fromstring(percentile_plot({"a": LATENCIES, "b": LATENCIES}, "Two servers")))

    assert "latency, ms" in shown
    assert any(text.startswith("percentile of requests") for text in shown)
    assert {"0", "50", "90", "99", "99.9"} <= set(shown)
    assert {"1", "10", "100"} <= set(shown)  # logarithmic: the tail is 250 times the median


def test_curves_can_be_told_apart_without_colours() -> None:
    """
    By a label at their end, and by their dashes; Penstock's is the strong one.
    """
    root = ET.fromstring(percentile_plot({"granian": LATENCIES, "penstock": LATENCIES}, "Two"))

    granian, penstock = [each for each in drawn(root, "curve") if "H" not in each.get("d", "")]
    assert granian.get("stroke-dasharray") != penstock.get("stroke-dasharray")
    assert float(penstock.get("stroke-width", "0")) > float(granian.get("stroke-width", "0"))
    assert texts(root).count("penstock") == 2  # at the curve and in the legend
    assert {each.text for each in drawn(root, "ours")} == {"penstock"}


def test_a_name_keeps_its_colour_from_plot_to_plot() -> None:
    """
    Where another server is missing, too; and the first colour is Penstock's alone.
    """
    cast = ["floor", "granian", "penstock"]

    def colour(name: str, others: list[str]) -> str:
        root = ET.fromstring(percentile_plot(dict.fromkeys([*others, name], LATENCIES), "Plot", cast))
        [*_, stroke] = [each for each in drawn(root, "curve") if "H" in each.get("d", "")]
        return stroke.get("style", "")

    assert colour("granian", []) == colour("granian", ["floor", "penstock"])
    assert colour("granian", []) != colour("floor", [])
    assert colour("penstock", []) == "stroke:var(--line-0)"


def test_labels_at_the_curves_do_not_lie_over_each_other() -> None:
    """
    Ten servers that end at the same latency are still ten names.
    """
    root = ET.fromstring(percentile_plot({f"server {index}": LATENCIES for index in range(10)}, "Many"))

    labels = [each for each in root.iter(f"{SVG}text") if (each.text or "").startswith("server")][:10]
    heights = sorted(float(each.get("y", "0")) for each in labels)
    assert all(later - earlier >= svg.TEXT_SIZE for earlier, later in itertools.pairwise(heights))


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"nothing": ()},
        {"zeros": ((0.0, 0), (50.0, 0), (100.0, 0))},
        {"one point": ((100.0, 5),)},
        {"not in order of magnitude": ((0.0, 0), (50.0, 1), (99.999999, 60_000_000), (100.0, 60_000_000))},
    ],
)
def test_any_curves_give_a_picture(curves: dict[str, Curve]) -> None:
    """
    A server that answered nothing must not take the report of the others along.
    """
    root = ET.fromstring(percentile_plot(curves, "Odd"))

    assert all(math.isfinite(x) and math.isfinite(y) for curve in curves_of(root) for x, y in curve)
    for name in curves:
        assert any(text.startswith(name[:19]) for text in texts(root))


@pytest.mark.parametrize(
    "picture",
    [
        percentile_plot({HOSTILE: LATENCIES}, HOSTILE),
        bars([Bar(HOSTILE, 1.0, 0.5, 2.0)], HOSTILE, HOSTILE),
    ],
)
def test_names_stay_text(picture: str) -> None:
    """
    Names come from a command line, and the file may be opened by itself: not even NUL may break it.
    """
    root = ET.fromstring(picture.encode())

    assert not list(root.iter(f"{SVG}script"))
    assert "<script" not in picture
    assert root.findtext(f"{SVG}title", "").startswith("</text><script>alert(1)")


def test_a_picture_stands_alone() -> None:
    """
    No reference to anything outside, colours for both schemes, and words for who cannot see it.
    """
    picture = percentile_plot({"penstock": LATENCIES}, "Latency of hello")
    root = ET.fromstring(picture)

    assert not re.search(r"url\(|href|@import|https?:", picture.replace("http://www.w3.org/2000/svg", ""))
    assert "prefers-color-scheme: dark" in picture
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Latency of hello"
    assert "penstock: p50 1, p99 9.0" in root.findtext(f"{SVG}desc", "")


@pytest.mark.parametrize(("paper", "colours"), [("#ffffff", svg.LIGHT), ("#14181c", svg.DARK)])
def test_every_line_stands_out_from_the_paper(paper: str, colours: tuple[str, ...]) -> None:
    """
    Three to one, WCAG's measure for graphics.
    """

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for colour in colours:
        low, high = sorted((luminance(paper), luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_bars_begin_at_zero() -> None:
    """
    Half as much is half as long; anything else would be a trick.
    """
    root = ET.fromstring(bars([Bar("floor", 5.0, 4.0, 6.0), Bar("penstock", 10.0, 9.0, 12.0)], "µs", "CPU"))

    floor, penstock = drawn(root, "bar")
    assert float(penstock.get("width", "0")) == pytest.approx(2 * float(floor.get("width", "0")), abs=0.2)
    assert "ours" in penstock.get("class", "").split()
    assert len(drawn(root, "spread")) == 2
    assert {"5 µs", "10 µs"} <= set(texts(root))


def test_a_bar_without_a_value_is_a_dash() -> None:
    """
    Nothing measured is not zero.
    """
    root = ET.fromstring(bars([Bar("nginx", None), Bar("penstock", 0.0, 0.0, 0.0)], "lost", "Lost"))

    assert "\N{EN DASH}" in texts(root)
    assert "0 lost" in texts(root)
    assert len(drawn(root, "bar")) == 1
    assert ET.fromstring(bars([], "µs", "Nobody")) is not None


@given(st.floats(min_value=1e-9, max_value=1e12), st.floats(min_value=1.0, max_value=1e9))
def test_an_axis_holds_its_values(low: float, factor: float) -> None:
    """
    Whatever was measured lies on the axis, between ticks that ascend.
    """
    axis = scale.axis_for([low, low * factor])

    places = [axis.place(low), axis.place(low * factor)]
    assert 0.0 <= places[0] <= places[1] <= 1.0
    assert len(axis.ticks) >= 2
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert all(-1e-6 <= (tick - axis.low) / (axis.high - axis.low) <= 1 + 1e-6 for tick in axis.ticks)


def test_each_nine_has_the_same_room() -> None:
    """
    99 lies as far from 90 as 99.9 from 99; all of 100 is cut where no run of ours can look.
    """
    assert [scale.nines(at) for at in (0.0, 90.0, 99.0, 99.9)] == pytest.approx([0, 1, 2, 3])
    assert scale.nines(100.0) == scale.NINES_MAX
    labels = [scale.percentile_label(at) for at in scale.nines_ticks(5)]
    assert labels == ["0", "50", "90", "99", "99.9", "99.99", "99.999"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.0123, "0.012"), (0.951, "0.95"), (1.234, "1.23"), (24.04, "24.0"), (54, "54"),
     (99.96, "100"), (122784.8, "122,785"), (math.inf, "\N{EN DASH}")],
)  # fmt: skip
def test_figures_have_digits_that_mean_something(value: float, written: str) -> None:
    """
    Three of them: the rest is noise on any machine.
    """
    assert scale.figure(value) == written
