"""
Elements and escaping, alike for HTML and for SVG.
"""

import html
import re

# XML has no place for these, even escaped: one would spoil the whole file.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Make any text fit for XML and HTML, between tags and in attributes."""
    return html.escape(FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))


def element(name: str, *content: str, **attributes: str | float) -> str:
    """
    Write an element around content that is markup already; attributes are escaped.

    `class_` is `class`, and other underscores are hyphens. An empty element gets
    its end tag too, which both languages understand.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{attribute(value)}"' for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(content)}</{name}>"


def attribute(value: str | float) -> str:
    """Write a value; a tenth of a pixel is fine enough for anyone."""
    return escaped(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
