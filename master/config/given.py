"""
What the operator gave outside the file: options, PENSTOCK_* and the platforms' variables.

Three levels, the strongest first. Values stay text here; typed.py reads them
as it reads the file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.master.config.activation import inherited_fds
from penstock.master.config.options import BY_NAME, Option
from penstock.master.config.problems import Place, nearest
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
    platform: Level

    def __iter__(self) -> Iterator[Level]:
        """Go from the strongest to the weakest."""
        return iter((self.options, self.variables, self.platform))

    def find(self, name: str) -> Given | None:
        """Find the strongest value of an option."""
        return next((level[name] for level in self if name in level), None)


def gather(options: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> tuple[Levels, list[str]]:
    """Sort what was given into levels, and warn of variables that mean nothing."""
    said = {name: _given(BY_NAME[name], texts, BY_NAME[name].flags[0]) for name, texts in options.items()}
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
            texts = tuple(text.split()) if option.is_repeatable else (text,)
            variables[option.name] = _given(option, texts, variable)
    libraries = (("--ws", options.get("ws", ("",))[-1]), ("PENSTOCK_WS", environ.get("PENSTOCK_WS", "")))
    for flag, library in libraries:
        if library == "wsproto":
            warnings.append(f"{flag} wsproto has no meaning here: there is one implementation")
    if environ.get("FORWARDED_ALLOW_IPS"):
        warnings.append("FORWARDED_ALLOW_IPS is not supported yet: no forwarded header is trusted")
    platform: Level = {}
    for variable, name in (("WEB_CONCURRENCY", "workers"), ("PORT", "port")):
        if environ.get(variable):
            platform[name] = _given(BY_NAME[name], (environ[variable],), variable)
    if sockets := inherited_fds(environ):
        # They were opened for this service, whatever port the platform speaks of.
        platform.pop("port", None)
        platform["bind"] = _given(BY_NAME["bind"], tuple(f"fd:{fd}" for fd in sockets), "LISTEN_FDS")
    return Levels(said, variables, platform), warnings


def _given(option: Option, texts: tuple[str, ...], source: str) -> Given:
    if option.in_seconds:
        # uvicorn and gunicorn count these in bare seconds.
        texts = tuple(f"{text}s" if _NUMBER.fullmatch(text) else text for text in texts)
    texts = tuple(option.words.get(text, text) for text in texts)
    if option.is_switch:
        texts = tuple({"1": "true", "0": "false"}.get(text, text) for text in texts)
    return Given(texts, Place(source))


def _is_service_link(variable: str, text: str) -> bool:
    if variable == "PENSTOCK_PORT":
        return "://" in text
    return _SERVICE_LINK.fullmatch(variable) is not None
