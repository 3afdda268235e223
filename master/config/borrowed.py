"""
Variables of other servers: GUNICORN_CMD_ARGS, UVICORN_* and GRANIAN_*.

They are read below the command line and PENSTOCK_*, and it is said that they
were: whoever switches by one word has them in a unit file or an image, and
should learn our names for them once.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock.master.config.option import Option
from penstock.master.config.peers import OURS, Alias, Excuse, Refusal, meaning_of
from penstock.master.config.problems import Place, Problem, listed, nearest

COMMAND_ARGUMENTS = "GUNICORN_CMD_ARGS"
APP_VARIABLE = "UVICORN_APP"
PREFIXES = ("UVICORN_", "GRANIAN_")

# Variables that are not named as their option is.
_FLAGS = {
    "UVICORN_HEADERS": "--header",
    "UVICORN_RELOAD_DIRS": "--reload-dir",
    "UVICORN_RELOAD_EXCLUDES": "--reload-exclude",
    "UVICORN_RELOAD_INCLUDES": "--reload-include",
    "GRANIAN_LOG_ACCESS_ENABLED": "--access-log",
    "GRANIAN_LOG_ACCESS_FMT": "--access-log-fmt",
    "GRANIAN_LOG_ENABLED": "--log",
    "GRANIAN_METRICS_ENABLED": "--metrics",
    "GRANIAN_WEBSOCKETS": "--ws",
}
# What other servers take for yes and no beside what we do.
_SWITCHED = {
    **dict.fromkeys(("1", "t", "true", "y", "yes", "on"), "true"),
    **dict.fromkeys(("0", "f", "false", "n", "no", "off"), "false"),
}
# Options whose value at this server is not one of ours, though the name is.
_VALUES = {"GRANIAN_WEBSOCKETS": {"true": "auto", "false": "none"}}
_UNITS = {"GRANIAN_WORKERS_MAX_RSS": "MiB"}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(slots=True)
class Borrowed:
    """What was found: texts by the option's name, with the place of each, and what is to be said."""

    texts: dict[str, tuple[tuple[str, ...], Place]] = field(default_factory=dict)
    app: tuple[str, Place] | None = None
    notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    # Their variables, and ours that say the same.
    theirs: dict[str, None] = field(default_factory=dict)
    ours: dict[str, None] = field(default_factory=dict)

    def note(self, place: Place, variable: str) -> None:
        """Have it said that something was read here, and what our name for it is."""
        self.theirs[_variable(place)] = None
        self.ours[variable] = None

    def take(self, flag: str, value: str | None, place: Place) -> None:
        """Take one option, spelt as on a command line. `value` None: it stood alone."""
        match meaning_of(flag):
            case Option() as option:
                self._put(option, _switched(option, flag, value), place)
            case Alias() as alias:
                self._put(OURS[alias.flag], translated(alias, value or ""), place)
            case Excuse() as excuse:
                self._excuse(excuse, flag, value or "", place)
            case Refusal() as refusal:
                self.problems.append(Problem(place, (), refusal.told))
            case None:
                self.notices.append(f"{place} has no meaning here and is ignored")

    def _put(self, option: Option, text: str, place: Place) -> None:
        texts: tuple[str, ...] = (text,)
        if option.is_repeatable and option.name in self.texts:
            before, earlier = self.texts[option.name]
            if _variable(earlier) == _variable(place):
                texts = (*before, text)
        self.texts[option.name] = (texts, place)
        self.note(place, option.variable)

    def _excuse(self, excuse: Excuse, flag: str, value: str, place: Place) -> None:
        told = excuse.answer(flag, value)
        if told and excuse.refused:
            self.problems.append(Problem(place, (), f"found {value!r}: {excuse.refused}"))
        elif told:
            self.notices.append(f"{_variable(place)}: {told}")


def borrow(environ: Mapping[str, str]) -> Borrowed:
    """Read the variables of other servers."""
    found = Borrowed()
    _take_words(found, environ.get(COMMAND_ARGUMENTS, ""))
    for variable, text in environ.items():
        if not text or not variable.startswith(PREFIXES):
            continue
        place = Place(variable)
        if variable == APP_VARIABLE:
            found.app = (text, place)
            found.note(place, "PENSTOCK_APP")
        else:
            _take_variable(found, variable, text, place)
    if found.theirs:
        are = "is" if len(found.theirs) == 1 else "are"
        told = f"{listed(found.theirs, 'and')} {are} read; the names here are {listed(found.ours, 'and')}"
        found.notices.insert(0, told)
    return found


def flag_of(variable: str) -> str:
    """
    Name the option that a variable of uvicorn or granian stands for.

    >>> flag_of("UVICORN_LOG_LEVEL")
    '--log-level'
    """
    return _FLAGS.get(variable) or "--" + variable.partition("_")[2].lower().replace("_", "-")


def translated(alias: Alias, value: str) -> str:
    """Put the value of another server's option as ours wants it."""
    if alias.value is not None:
        return alias.value
    return value + alias.unit if _NUMBER.fullmatch(value) else value


def _take_variable(found: Borrowed, variable: str, text: str, place: Place) -> None:
    flag = flag_of(variable)
    meaning = meaning_of(flag)
    switched = _SWITCHED.get(text.strip().lower(), text)
    takes_none = (
        meaning.is_flag
        if isinstance(meaning, Excuse)
        else meaning.value is not None
        if isinstance(meaning, Alias)
        else False
    )
    if variable in _VALUES:
        text = _VALUES[variable].get(switched, text)
    elif takes_none or (isinstance(meaning, Refusal) and switched == "false"):
        # On or off, each of which may be an option of its own.
        flag = flag if switched == "true" else "--no-" + flag.removeprefix("--")
    elif isinstance(meaning, Option) and meaning.is_switch:
        text = switched
    elif variable in _UNITS and _NUMBER.fullmatch(text):
        text += _UNITS[variable]
    texts = text.split() if isinstance(meaning, Option) and meaning.is_repeatable else [text]
    if takes_none and switched == "false" and meaning_of(flag) is None:
        return  # It is off, and so it is here.
    for each in texts:
        found.take(flag, each, place)


def _take_words(found: Borrowed, text: str) -> None:
    try:
        words = shlex.split(text)
    except ValueError as error:
        found.problems.append(Problem(Place(COMMAND_ARGUMENTS), (), f"cannot be split into words: {error}"))
        return
    for flag, value in split_words(words):
        place = Place(f"{COMMAND_ARGUMENTS}: {flag}")
        if not flag.startswith("-"):
            found.notices.append(f"{place} is no option and is ignored")
        elif meaning_of(flag) is None:
            hint = nearest(flag, OURS)
            told = "there is no such option" + (f"; {hint}" if hint else "")
            found.problems.append(Problem(place, (), told))
        elif value is None and takes_value(flag) and bare_value(flag) is None:
            found.problems.append(Problem(place, (), "found no value, expected one"))
        else:
            found.take(flag, bare_value(flag) if value is None else value, place)


def split_words(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """
    Split words as a command line does, into options with their values; what is no option has none.

    >>> list(split_words(["-w4", "--bind=:80", "--preload", "--log-level", "info"]))
    [('-w', '4'), ('--bind', ':80'), ('--preload', None), ('--log-level', 'info')]
    """
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        flag, equals, value = word.partition("=")
        if word.startswith("--") and equals:
            yield flag, value
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            flag = word[:2]
            if takes_value(flag):
                yield flag, word[2:].removeprefix("=")
            else:
                yield from ((f"-{letter}", None) for letter in word[1:])
        elif takes_value(word) and rest and not (bare_value(word) is not None and rest[-1].startswith("-")):
            yield word, rest.pop()
        else:
            yield word, None


def takes_value(flag: str) -> bool:
    """Tell whether a word after the option belongs to it."""
    match meaning_of(flag):
        case Option() as option:
            return not option.is_switch
        case Alias() as alias:
            return alias.value is None
        case Excuse() as excuse:
            return not excuse.is_flag
    return False


def bare_value(flag: str) -> str | None:
    """Give what an option means that stands without a value; None: it must have one."""
    option = OURS.get(flag)
    return None if option is None else option.bare


def _variable(place: Place) -> str:
    return place.source.partition(":")[0]


def _switched(option: Option, flag: str, value: str | None) -> str:
    if option.is_switch and value is None:
        return "false" if flag in option.off else "true"
    return value or ""
