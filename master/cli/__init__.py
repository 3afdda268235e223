"""The command line."""

import os
import sys


def main() -> None:
    """Run `penstock`; the entry point of the package."""
    if sys.platform != "linux":
        # Before anything is imported that other systems do not have.
        print(f"penstock runs on Linux only, and this is {sys.platform}", file=sys.stderr)
        sys.exit(3)
    open_standard_streams()
    from penstock.master.signals import keep_signals_for_later  # noqa: PLC0415

    keep_signals_for_later()  # Before what takes long to import: this may be an init, or told to reload.
    from penstock.master.call import forbidden  # noqa: PLC0415
    from penstock.master.cli.command import penstock  # noqa: PLC0415

    with forbidden():
        penstock.main(prog_name="penstock")


def open_standard_streams() -> None:
    """
    Open what was closed of standard input, output and error.

    Else the next descriptors opened would get their numbers, and what a library
    writes to standard output would go into a socket or the shared segment.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
