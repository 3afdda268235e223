"""
The file that `--env-file` names: `NAME=value` lines, put into the environment.

A variable that is already set wins over the file. What came from the file is
noted in the environment itself, so that reading the file again (on HUP, and
after a hot restart, whose new image inherits the environment) replaces the
old values instead of taking them for the operator's.
"""

import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path as FilePath

from penstock.master.config.problems import ConfigError, Place, Problem, quoted

FILE_BYTES_MAX = 1024 * 1024
# Names that the last reading of the file set, joined by commas.
NOTE = "PENSTOCK_ENV_FILE_SET"

_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def apply_env_file(file: str, environ: MutableMapping[str, str]) -> None:
    """Read the file into `environ`, in place of what the last reading set. Raises ConfigError."""
    values = parse_env_file(_read(file), file)
    for name in filter(None, environ.pop(NOTE, "").split(",")):
        environ.pop(name, None)
    fresh = {name: value for name, value in values.items() if name not in environ}
    environ.update(fresh)
    environ[NOTE] = ",".join(fresh)


def parse_env_file(text: str, file: str) -> dict[str, str]:
    """
    Parse `NAME=value` lines. Raises ConfigError with every bad line.

    Blank lines and `#` comments are skipped, `export` is allowed. A value in
    single quotes is itself; in double quotes backslashes escape; without quotes it
    ends at a ` #` comment. Nothing is expanded.
    """
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        place = Place(file, number, line.index(stripped[0]) + 1)
        match = _LINE.fullmatch(stripped)
        value = _value(match[2]) if match else None
        if match is None or value is None or "\0" in value:
            # Not the line itself: this is where people keep passwords.
            name = quoted(stripped.partition("=")[0]) if "=" in stripped else "a line without '='"
            wanted = "NAME=value" if match is None else "a value whose quotes are closed at its end"
            problems.append(Problem(place, (), f"found {name}, expected {wanted}"))
        else:
            values[match[1]] = value
    if problems:
        raise ConfigError(problems)
    return values


def parse_pairs(texts: Iterable[str], place: Place) -> dict[str, str]:
    """Take `NAME=value` texts, as `--env` has them. Raises ConfigError with every bad one."""
    values: dict[str, str] = {}
    problems = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name) or "\0" in value:
            # Not the value: this may be a password.
            problems.append(Problem(place, (), f"found {quoted(name)}, expected NAME=value"))
        values[name] = value
    if problems:
        raise ConfigError(problems)
    return values


def _value(text: str) -> str | None:
    if text[:1] == "'":
        match = re.fullmatch(r"'([^']*)'[ \t]*(#.*)?", text)
        return match[1] if match else None
    if text[:1] == '"':
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"[ \t]*(#.*)?', text)
        return re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[0]), match[1]) if match else None
    return re.split(r"(?:^|[ \t])#", text, maxsplit=1)[0].rstrip()


def _read(file: str) -> str:
    try:
        with FilePath(file).open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([Problem(Place(file), (), f"cannot be read: {reason}")]) from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError([Problem(Place(file), (), "is larger than 1 MiB, expected NAME=value lines")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(file), (), "is not UTF-8 text")]) from None
