"""
How this process was started, in the terms in which it can be started again.

The interpreter keeps its whole command line; here it is cut into the options of
the interpreter and the program with its arguments.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandLine:
    """`flags` are the interpreter's; `command` is `-m module ...` or `script ...`."""

    flags: tuple[str, ...]
    command: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> "CommandLine":
        """Cut this process's command line."""
        return cut(sys.orig_argv, sys.argv)


def cut(orig_argv: Sequence[str], argv: Sequence[str]) -> CommandLine:
    """
    Cut the interpreter's command line, given what the program sees of it.

    A process that was started by the boot shim has the shim's source in front
    of the command: `-c SOURCE -m penstock ...`.
    """
    words = tuple(orig_argv[1:])
    head = words[: len(words) - (len(argv) - 1)]
    arguments = words[len(head) :]
    if "-c" in head[:-1]:
        at = head.index("-c")
        return CommandLine(head[:at], (*head[at + 2 :], *arguments))
    if len(head) >= 2 and head[-2] == "-m":
        return CommandLine(head[:-2], (*head[-2:], *arguments))
    if head[-1].startswith("-m"):
        return CommandLine(head[:-1], ("-m", head[-1][2:], *arguments))
    return CommandLine(head[:-1], (*head[-1:], *arguments))
