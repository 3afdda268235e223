r"""
How bytes that a client chose are shown in a line, so that they cannot end it or look like another.

Pure. In text as Apache does it: `\"` and `\\`, and `\xhh` for whatever is not
printable ASCII; nothing is lost, and no field can be left. In JSON as JSON does
it, in ASCII alone.
"""

import re
from json.encoder import encode_basestring_ascii
from typing import Final

from penstock.worker.limits import ACCESS_FIELD_BYTES_MAX

CUT: Final = "..."

_ODD = re.compile(rb"[^ !#-\[\]-~]")
_ESCAPES: Final = {
    bytes((code,)): {0x22: b'\\"', 0x5C: b"\\\\"}.get(code, b"\\x%02x" % code) for code in range(256)
}


def is_plain(value: bytes) -> bool:
    """Tell whether bytes are shown as they are, in text and in JSON alike."""
    text = value.decode("latin-1")
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def shown(value: bytes) -> str:
    """Show bytes in a line of text: printable ASCII, in which every quote has a backslash before it."""
    if len(value) > ACCESS_FIELD_BYTES_MAX:
        return shown(value[:ACCESS_FIELD_BYTES_MAX]) + CUT
    if is_plain(value):
        return value.decode("ascii")
    return _ODD.sub(lambda found: _ESCAPES[found[0]], value).decode("ascii")


def shown_word(value: bytes) -> str:
    """Show bytes where a blank ends a field."""
    return shown(value).replace(" ", "\\x20")


def json_bytes(value: bytes) -> str:
    """Show bytes as a JSON string; what is not UTF-8 as a backslash, an x and two digits."""
    if len(value) > ACCESS_FIELD_BYTES_MAX:
        return json_text(value[:ACCESS_FIELD_BYTES_MAX].decode("utf-8", "backslashreplace") + CUT)
    return json_text(value.decode("utf-8", "backslashreplace"))


def json_text(value: str) -> str:
    """Show text as a JSON string of ASCII without control characters."""
    quoted = encode_basestring_ascii(value)
    return quoted.replace("\x7f", "\\u007f") if "\x7f" in quoted else quoted
