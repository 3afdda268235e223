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
    def of_this_process(cls) -> "CommandLine | None":
        """Cut this process's command line; None: it cannot be repeated."""
        return cut(sys.orig_argv, sys.argv)


# Options of the interpreter that take a value, which may be the next word.
_VALUED = "WX"


def cut(orig_argv: Sequence[str], argv: Sequence[str]) -> CommandLine | None:
    """
    Cut the interpreter's command line; None: it runs no file, but a text or what is typed.

    A process that was started by the boot shim has the shim's source in front
    of the command: `-c SOURCE -m penstock ...`. There the program sees its own
    name first in `argv`, and elsewhere "-c".
    """
    words = tuple(orig_argv[1:])
    at, kind, value = _program(words)
    if kind == "c":
        if argv[:1] == ["-c"] or at + 1 >= len(words):
            return None
        return CommandLine(words[:at], words[at + 2 :])
    if kind == "m":
        rest = words[at + 1 :] if value else words[at + 2 :]
        return CommandLine(words[:at], ("-m", value or words[at + 1], *rest))
    if at >= len(words) or words[at] == "-":
        return None
    return CommandLine(words[:at], words[at:])


def _program(words: tuple[str, ...]) -> tuple[int, str, str]:
    """Find where the program begins, whether by -c or -m, and what is joined to that."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        word = words[at]
        at += 1
        if word.startswith("--"):
            at += word == "--check-hash-based-pycs"
            continue
        for index, letter in enumerate(word[1:], start=2):
            if letter in "cm":
                return at - 1, letter, word[index:]
            if letter in _VALUED:
                at += index == len(word)
                break
    return at, "", ""
