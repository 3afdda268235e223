"""
Writes `master/keywords.py`, the keywords of `penstock.run` for type checkers, from the table of options.

    make tables
"""

import subprocess
import sys
from pathlib import Path

from penstock.master.call import _FLAGS
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME
from penstock.master.config.peers import ALIASES, EXCUSES, OURS

FILE = Path(__file__).parents[2] / "master" / "keywords.py"

HEAD = '''"""
The keywords of `penstock.run`, for type checkers and editors.

Written by `make tables` from the table of options; a test says when it is to be written anew.
"""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, TypedDict


class Keywords(TypedDict, total=False):
    """Options by name; None: not given. Below are those of other servers that mean the same, or nothing."""

'''

PATH = "str | PathLike[str]"
TYPES = {
    "SECONDS": "float | str",
    "N": "int",
    "N|auto": "int | str",
    "SIZE": "int | str",
    "SIZE|none": "int | str",
    "MODE": "int | str",
    "RATIO": "float | str",
    "SECONDS|none": "float | str",
    "N|none": "int | str",
    "true|false": "bool | str",
    "none|optional|required": "int | str",
    "1.2|1.3": "int | float | str",
    "LIST": "str | Iterable[str]",
    "PORT": "int",
    "PATH": PATH,
    "FILE": PATH,
    "DIR": PATH,
    "DIRS": "str | Iterable[str]",
}
# Those of which the metavar does not tell all.
NAMED = {
    "fd": "int | str",
    "log_config": f"{PATH} | Mapping[str, Any]",
    "log_level": "str | int",
    "proxy_allow_from": "str | Iterable[str]",
    "proxy_protocol": "bool | str",
}


def annotation(option: Option) -> str:
    """Say what a keyword takes."""
    if option.is_switch:
        return "bool | None"
    if option.is_pairs:
        return "Mapping[str, str] | Iterable[tuple[str, str] | str] | None"
    found = NAMED.get(option.name) or TYPES.get(option.metavar, "str")
    return f"{found} | Iterable[str] | None" if option.is_repeatable else f"{found} | None"


def keywords_text() -> str:
    """Write the file."""
    lines = [f"    {name}: {annotation(option)}" for name, option in BY_NAME.items()]
    theirs: dict[str, str] = {}
    for keyword, flag in _FLAGS.items():
        if flag in OURS:
            theirs[keyword] = annotation(OURS[flag])
    for option in BY_NAME.values():
        for flag in option.flags[1:]:
            theirs[_keyword(flag)] = annotation(option)
    for flag, alias in ALIASES.items():
        if alias.flag in OURS:
            theirs[_keyword(flag)] = "bool | None" if alias.value else annotation(OURS[alias.flag])
    for flag in EXCUSES:
        theirs[_keyword(flag)] = "Any"
    more = [
        f"    {name}: {of}" for name, of in sorted(theirs.items()) if len(name) > 1 and name not in BY_NAME
    ]
    return HEAD + "\n".join([*lines, "", *more]) + "\n"


def _keyword(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


if __name__ == "__main__":
    FILE.write_text(keywords_text())
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(FILE)], check=True)
