"""
How the server was started, and so how its configuration is read again.

The command line is kept as text. Files and environment are read each time,
because that is what HUP is for.
"""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from penstock.master.config.app_name import spelt_out
from penstock.master.config.env_file import apply_env_file, parse_pairs
from penstock.master.config.given import Given, Levels, gather
from penstock.master.config.judge import judge
from penstock.master.config.model import Config
from penstock.master.config.opentelemetry import laid_under
from penstock.master.config.overlay import Overlay
from penstock.master.config.problems import ConfigError, Place, Problem
from penstock.master.config.python_path import extend_python_path
from penstock.master.config.strangers import USUAL_FILE, refuse_stranger
from penstock.master.config.tree import Node, read_tree
from penstock.master.config.typed import Walk, build_config


def starting_directory() -> str:
    """
    Name the working directory as the shell does.

    $PWD keeps the symlink that a deployment switches; getcwd() has followed it.
    """
    logical = os.environ.get("PWD", "")
    try:
        if FilePath(logical).is_absolute() and FilePath(logical).samefile("."):
            return logical
        return str(FilePath.cwd())
    except OSError:
        return "."  # Removed under us: the paths will fail, each with its own message.


@dataclass(frozen=True, slots=True)
class Reading:
    """A configuration that can be served, and what is odd about it."""

    config: Config
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Invocation:
    """
    A command line: options by name (see options.py) as they were typed, and APP.

    `directory` is where it was typed; relative paths of `-c`, `--env-file` and
    `--chdir` mean that one, whatever the process has changed to since. `is_call`: it was
    no command line but a call of `penstock.run`; `is_object`: with an app that no import finds again.
    """

    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    app: str | None = None
    directory: str = field(default_factory=starting_directory)
    is_call: bool = False
    is_object: bool = False

    def enter(self, environ: MutableMapping[str, str] | None = None) -> None:
        """
        Read `--env-file` and do `--chdir`, `--env` and `--pythonpath`, first of all. Raises ConfigError.

        Again does no harm.
        """
        levels, _ = self._gathered(os.environ if environ is None else environ)
        given = levels.find("chdir")
        if given is not None:
            try:
                os.chdir(self._absolute(given.text))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ConfigError(
                    [Problem(given.place, (), f"cannot change to {given.text!r}: {reason}")]
                ) from None
        given = levels.find("pythonpath")
        if given is not None:
            extend_python_path(given.text, given.place)

    def load(self, environ: MutableMapping[str, str] | None = None) -> Config:
        """Read the configuration as it is now. Raises ConfigError."""
        return self.read(environ).config

    def read(self, environ: MutableMapping[str, str] | None = None) -> Reading:
        """Read the configuration as it is now, with what is odd about it. Raises ConfigError."""
        environ = os.environ if environ is None else environ
        levels, warnings = self._gathered(environ)
        app = Given((self.app,), Place("APP")) if self.app is not None else None
        config_file = levels.find("config")
        if app is None and "config" not in levels.options:
            app = levels.app
        if app is not None:
            name, is_factory, told = spelt_out(app.text)
            app = Given((name,), app.place)
            if is_factory:
                levels.options.setdefault("factory", Given(("true",), app.place))
            warnings += [told] if told else []
        root: Node | None = None
        if config_file is not None:
            refuse_stranger(self._absolute(config_file.text), config_file.text)
            root = read_tree(self._absolute(config_file.text), config_file.text)
        elif app is not None and FilePath(USUAL_FILE).exists():
            # Gunicorn reads it without a word on the command line.
            warnings.append(
                f"{USUAL_FILE} is not read; `penstock check -c {USUAL_FILE}` says what it asks for"
            )
        overlay = Overlay(levels, environ)
        walk = Walk(environ=environ, problems=overlay.problems)
        tree, strange = laid_under(overlay.lay(root, app), environ)
        config = build_config(tree, walk)
        odd = judge(walk)
        if walk.problems or config is None:
            raise ConfigError(walk.problems)
        return Reading(config, (*warnings, *overlay.warnings, *strange, *odd))

    @property
    def is_restarted(self) -> bool:
        """Whether new code takes a new image: an object whose program is watched for changes."""
        return self.is_object and self.options.get("reload") == ("true",)

    @property
    def config_file(self) -> str | None:
        """The configuration file that is read, as an absolute path."""
        given = self._gather(os.environ)[0].find("config")
        return None if given is None else self._absolute(given.text)

    @property
    def env_file(self) -> str | None:
        """The file of variables that is read, as an absolute path."""
        given = gather(self.options, os.environ)[0].find("env_file")
        return None if given is None else self._absolute(given.text)

    def _gathered(self, environ: MutableMapping[str, str]) -> tuple[Levels, list[str]]:
        given = self._gather(environ)[0].find("env_file")
        if given is not None:
            apply_env_file(self._absolute(given.text), environ)
        given = self._gather(environ)[0].find("env")
        if given is not None:
            environ.update(parse_pairs(given.texts, given.place))
        return self._gather(environ)

    def _gather(self, environ: Mapping[str, str]) -> tuple[Levels, list[str]]:
        return gather(self.options, environ, is_call=self.is_call)

    def _absolute(self, path: str) -> str:
        return str(FilePath(self.directory) / path)
