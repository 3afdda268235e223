"""
What the operator gave outside the file: options, PENSTOCK_*, other servers' and the platforms' variables.

Four levels, the strongest first. Values stay text here; typed.py reads them
as it reads the file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.master.config.activation import inherited_fds
from penstock.master.config.borrowed import borrow
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME
from penstock.master.config.problems import Place, Problem, nearest
from penstock.master.config.tree import Scalar
from penstock.shm.counting import PURE

# Variables of ours that are not options.
OWN_VARIABLES = {"PENSTOCK_APP", "PENSTOCK_ENV_FILE_SET", PURE}

# What Kubernetes puts into every container beside a Service called "penstock".
_SERVICE_LINK = re.compile(r"PENSTOCK_(SERVICE_(HOST|PORT)(_.*)?|PORT(_[0-9]+_(TCP|UDP)(_.*)?)?)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Given:
    """The value of one option, and who said so. Only a repeatable option has several."""

    texts: tuple[str, ...]
    place: Place
    notices: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The value; the last one wins, as it does in a shell alias that is added to."""
        return self.texts[-1]

    def scalar(self) -> Scalar:
        """The value as a node. `${...}` means itself: a shell has had its turn."""
        return Scalar(self.place, self.text, is_literal=True)


Level = dict[str, Given]


@dataclass(frozen=True, slots=True)
class Levels:
    """Everything given, by who gave it."""

    options: Level
    variables: Level
    borrowed: Level
    platform: Level
    app: Given | None = None  # from a variable
    problems: tuple[Problem, ...] = ()

    def __iter__(self) -> Iterator[Level]:
        """Go from the strongest to the weakest."""
        return iter((self.options, self.variables, self.borrowed, self.platform))

    def find(self, name: str) -> Given | None:
        """Find the strongest value of an option."""
        return next((level[name] for level in self if name in level), None)


def gather(
    options: Mapping[str, tuple[str, ...]], environ: Mapping[str, str], *, is_call: bool = False
) -> tuple[Levels, list[str]]:
    """
    Sort what was given into levels, and warn of variables that mean nothing.

    `is_call`: the options are keywords of a function, and are called that.
    """
    said = {
        name: _given(BY_NAME[name], texts, f"{name}=" if is_call else BY_NAME[name].flags[0])
        for name, texts in options.items()
    }
    by_variable = {option.variable: option for option in BY_NAME.values()}
    variables: Level = {}
    warnings: list[str] = []
    for variable, text in environ.items():
        if not variable.startswith("PENSTOCK_") or variable in OWN_VARIABLES:
            continue
        option = by_variable.get(variable)
        if _is_service_link(variable, text):
            if option is not None:
                warnings.append(f"{variable}={text!r} is Kubernetes' link to a service, so it is not read")
        elif option is None:
            hint = nearest(variable, by_variable)
            warnings.append(f"{variable} is not a variable of Penstock" + (f"; {hint}" if hint else ""))
        elif text:
            parts = [text]
            if option.is_repeatable:
                parts = text.splitlines() if option.is_pairs else text.split()
            variables[option.name] = _given(option, tuple(parts), variable)
    platform: Level = {}
    for variable, name in (
        ("WEB_CONCURRENCY", "workers"),
        ("PORT", "port"),
        ("FORWARDED_ALLOW_IPS", "forwarded_allow_ips"),
    ):
        if environ.get(variable):
            platform[name] = _given(BY_NAME[name], (environ[variable],), variable)
    if sockets := inherited_fds(environ):
        # They were opened for this service, whatever port the platform speaks of.
        platform.pop("port", None)
        platform["bind"] = _given(BY_NAME["bind"], tuple(f"fd:{fd}" for fd in sockets), "LISTEN_FDS")
    found = borrow(environ)
    borrowed = {
        name: _given(BY_NAME[name], texts, place.source) for name, (texts, place) in found.texts.items()
    }
    levels = (said, variables, borrowed)
    warnings += found.notices
    warnings += [told for level in levels for given in level.values() for told in given.notices]
    app = environ.get("PENSTOCK_APP")
    from_variable = Given((app,), Place("PENSTOCK_APP")) if app else None
    if from_variable is None and found.app is not None:
        from_variable = Given((found.app[0],), found.app[1])
    return Levels(*levels, platform, from_variable, tuple(found.problems)), warnings


def _given(option: Option, texts: tuple[str, ...], source: str) -> Given:
    if option.in_seconds:
        # uvicorn and gunicorn count these in bare seconds.
        texts = tuple(f"{text}s" if _NUMBER.fullmatch(text) else text for text in texts)
    if option.is_switch:
        texts = tuple({"1": "true", "0": "false"}.get(text, text) for text in texts)
    notices: tuple[str, ...] = ()
    if option.words:
        notices = tuple(
            f"{source}: {text!r} is taken for {_nearest(option, text)!r}, the nearest there is"
            for text in texts
            if text.lower() in option.approximate
        )
        texts = tuple(option.words.get(text.lower(), text) for text in texts)
    return Given(texts, Place(source), notices)


def _nearest(option: Option, text: str) -> str:
    first, *others = option.metavar.split("|")
    return first if others else option.words[text.lower()]


def _is_service_link(variable: str, text: str) -> bool:
    if variable == "PENSTOCK_PORT":
        return "://" in text
    return _SERVICE_LINK.fullmatch(variable) is not None
