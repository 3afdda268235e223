"""What `--pythonpath` does: directories in front of sys.path, for this process and those forked from it."""

import sys
from pathlib import Path as FilePath

from penstock.master.config.problems import ConfigError, Place, Problem, quoted


def extend_python_path(text: str, place: Place) -> None:
    """
    Put directories, separated by commas, in front of sys.path. Raises ConfigError.

    By the names that lead there: what a deployment switches a symlink to is
    found at the next import.
    """
    problems = []
    # The first one stays the first.
    for name in reversed([each.strip() for each in text.split(",") if each.strip()]):
        directory = FilePath(name).expanduser().absolute()
        if "\0" in name or not directory.is_dir():
            problems.append(Problem(place, (), f"found {quoted(name)}, expected a directory"))
        elif str(directory) not in sys.path:
            sys.path.insert(0, str(directory))
    if problems:
        raise ConfigError(problems)
