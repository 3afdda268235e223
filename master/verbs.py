"""
What an operator can order a running server to do, as three places need to know it.

The command line makes a command of each verb, the control socket a path, and the
supervisor has a method for each. A new verb is one entry here and that method.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Nine digits fit in every integer that they may end up in.
ARGUMENT_DIGITS_MAX = 9


@dataclass(frozen=True)
class Verb:
    """One order, and the number that it takes, if any."""

    help: str
    argument: str | None = None


VERBS: Mapping[str, Verb] = {
    "reload": Verb("Read the configuration again and roll the workers to it."),
    "upgrade": Verb("Hot restart: new code for master and workers, same PID."),
    "scale": Verb("Set the number of workers.", argument="workers"),
    "recycle": Verb("Replace the worker of one slot, its successor first.", argument="slot"),
    "stacks": Verb("Show what a worker is doing: its stacks and requests.", argument="slot"),
    "drain": Verb("Finish what is in flight and stop, as TERM does."),
}
