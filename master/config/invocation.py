"""
How the server was started, and so how its configuration is read again.

The command line is kept as text. Files and environment are read each time,
because that is what HUP is for.
"""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from penstock.master.config.env_file import apply_env_file
from penstock.master.config.given import Given, Levels, gather
from penstock.master.config.judge import judge
from penstock.master.config.model import Config
from penstock.master.config.opentelemetry import laid_under
from penstock.master.config.overlay import Overlay
from penstock.master.config.problems import ConfigError, Place, Problem
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
    `--chdir` mean that one, whatever the process has changed to since.
    """

    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    app: str | None = None
    directory: str = field(default_factory=starting_directory)

    def enter(self, environ: MutableMapping[str, str] | None = None) -> None:
        """Read `--env-file` and do `--chdir`, first of all; again does no harm. Raises ConfigError."""
        levels, _ = self._gathered(os.environ if environ is None else environ)
        given = levels.find("chdir")
        if given is None:
            return
        try:
            os.chdir(self._absolute(given.text))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                [Problem(given.place, (), f"cannot change to {given.text!r}: {reason}")]
            ) from None

    def load(self, environ: MutableMapping[str, str] | None = None) -> Config:
        """Read the configuration as it is now. Raises ConfigError."""
        return self.read(environ).config

    def read(self, environ: MutableMapping[str, str] | None = None) -> Reading:
        """Read the configuration as it is now, with what is odd about it. Raises ConfigError."""
        environ = os.environ if environ is None else environ
        levels, warnings = self._gathered(environ)
        app = Given((self.app,), Place("APP")) if self.app is not None else None
        config_file = levels.find("config")
        if app is None and "config" not in levels.options and environ.get("PENSTOCK_APP"):
            app = Given((environ["PENSTOCK_APP"],), Place("PENSTOCK_APP"))
        root: Node | None = None
        if config_file is not None:
            root = read_tree(self._absolute(config_file.text), config_file.text)
        overlay = Overlay(levels, environ)
        walk = Walk(environ=environ, problems=overlay.problems)
        tree, strange = laid_under(overlay.lay(root, app), environ)
        config = build_config(tree, walk)
        odd = judge(walk)
        if walk.problems or config is None:
            raise ConfigError(walk.problems)
        return Reading(config, (*warnings, *overlay.warnings, *strange, *odd))

    @property
    def config_file(self) -> str | None:
        """The configuration file that is read, as an absolute path."""
        given = gather(self.options, os.environ)[0].find("config")
        return None if given is None else self._absolute(given.text)

    @property
    def env_file(self) -> str | None:
        """The file of variables that is read, as an absolute path."""
        given = gather(self.options, os.environ)[0].find("env_file")
        return None if given is None else self._absolute(given.text)

    def _gathered(self, environ: MutableMapping[str, str]) -> tuple[Levels, list[str]]:
        levels, _ = gather(self.options, environ)
        given = levels.find("env_file")
        if given is not None:
            apply_env_file(self._absolute(given.text), environ)
        return gather(self.options, environ)

    def _absolute(self, path: str) -> str:
        return str(FilePath(self.directory) / path)
