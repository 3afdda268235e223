"""
A configuration of Python's logging in an ini file, as other servers take it.
"""

from configparser import Error, RawConfigParser
from pathlib import Path
from typing import Any

from penstock.master.config.problems import Mismatch
from penstock.worker.log_config import INI

FILE_BYTES_MAX = 1024 * 1024

_SECTIONS = ("loggers", "handlers", "formatters")


def read_ini(file: str) -> dict[str, Any] | None:
    """Read such a file; None if it is of another kind. Raises Mismatch."""
    try:
        with Path(file).open("rb") as stream:
            text = stream.read(FILE_BYTES_MAX + 1).decode("utf-8-sig")
    except (OSError, ValueError):
        return None  # Whoever reads it as something else says why that cannot be.
    if "[loggers]" not in text or len(text) > FILE_BYTES_MAX:
        return None
    parser = RawConfigParser()
    expected = "an ini file for logging.config.fileConfig"
    try:
        parser.read_string(text, file)
    except Error as error:
        raise Mismatch(expected, hint=str(error).replace("\n", " ")) from None
    for section in _SECTIONS:
        if not parser.has_option(section, "keys"):
            raise Mismatch(expected, hint=f"{file} has no section [{section}] with keys")
    return {"version": 1, INI: text}
