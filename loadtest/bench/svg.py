"""
SVG as text: labels, lines, headings, and the style that all our pictures share.

A picture stands alone in a file as well as inside a page, so it brings its own
colours for light and dark, and asks for nothing from anywhere.
"""

from collections.abc import Iterable

from bench.markup import attribute, element, escaped

# Wide enough for a plot, and on a phone still shown at three quarters, so that
# the letters stay readable.
WIDTH = 480
TEXT_SIZE = 12
# An average letter of a sans-serif face. Real ones differ, so nothing may depend
# on more than some per cent of it.
LETTER_WIDTH = 0.57 * TEXT_SIZE

# Colours of Okabe and Ito, which people who see red and green alike can tell
# apart; darkened on white and lightened on black until they can be read there.
# The first is kept for Penstock.
LIGHT = ("#0072b2", "#c44e00", "#008060", "#a8548a", "#9a6a00", "#3f4f9e", "#7a4a2b", "#5c6670")
DARK = ("#56b4e9", "#f08a4b", "#2fc79a", "#e39cc4", "#e6b422", "#9aa8f5", "#cf9b78", "#aab4be")

STYLE = f"""
.plot {{ color-scheme: light dark; font: {TEXT_SIZE}px/1.2 system-ui, sans-serif;
  --paper: #fff; --ink: #1c2126; --faint: #59636e; --grid: #e1e5e9; --rest: #a3b1bf;
  {" ".join(f"--line-{index}: {colour};" for index, colour in enumerate(LIGHT))} }}
@media screen and (prefers-color-scheme: dark) {{
  .plot {{ --paper: #14181c; --ink: #e8ecf0; --faint: #a0abb6; --grid: #2c343c; --rest: #5d6b79;
  {" ".join(f"--line-{index}: {colour};" for index, colour in enumerate(DARK))} }} }}
.plot text {{ fill: var(--ink); font-variant-numeric: tabular-nums; }}
.plot .paper {{ fill: var(--paper); }}
.plot .head {{ font-size: {TEXT_SIZE + 1}px; font-weight: 600; }}
.plot .faint {{ fill: var(--faint); }}
.plot .ours {{ font-weight: 600; }}
.plot .grid {{ stroke: var(--grid); fill: none; }}
.plot .axis {{ stroke: var(--faint); fill: none; }}
.plot .curve {{ fill: none; stroke-linejoin: round; stroke-linecap: round; }}
.plot .leader {{ stroke: var(--faint); stroke-width: 0.6; stroke-dasharray: 1 2; fill: none; }}
.plot .bar {{ fill: var(--rest); }}
.plot .bar.ours {{ fill: var(--line-0); }}
.plot .spread {{ stroke: var(--ink); stroke-width: 1.2; fill: none; }}
"""


def shortened(text: str, letter_count_max: int) -> str:
    """Cut a text that is too long for its place."""
    return text if len(text) <= letter_count_max else text[: letter_count_max - 1] + "\N{HORIZONTAL ELLIPSIS}"


def text_width(text: str) -> float:
    """Estimate how wide a text is."""
    return len(text) * LETTER_WIDTH


def label(text: str, x: float, y: float, **attributes: str | float) -> str:
    """Write a text, escaped, with its base line at y."""
    return element("text", escaped(text), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Draw a straight line."""
    return element(
        "path", class_=class_, d=f"M{attribute(x1)} {attribute(y1)}L{attribute(x2)} {attribute(y2)}"
    )


def picture(height: float, title: str, description: str, content: Iterable[str]) -> str:
    """Put a picture together; a screen reader tells its title and description."""
    return element(
        "svg",
        element("title", escaped(title)),
        element("desc", escaped(description)),
        element("style", STYLE),
        element("rect", class_="paper", width=WIDTH, height=height, rx=6),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        class_="plot",
        role="img",
        viewBox=f"0 0 {WIDTH} {attribute(height)}",
    )


def heading(title: str) -> tuple[list[str], float]:
    """Write a title in as many lines as it takes; return it and where it ends."""
    letter_count = int((WIDTH - 24) / (LETTER_WIDTH * 1.15))
    lines: list[str] = []
    for word in title.split():
        piece = shortened(word, letter_count)
        if lines and len(lines[-1]) + 1 + len(piece) <= letter_count:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    step = TEXT_SIZE + 4
    drawn = [label(text, 12, 22 + step * index, class_="head") for index, text in enumerate(lines)]
    return drawn, 22.0 + step * max(0, len(lines) - 1)
