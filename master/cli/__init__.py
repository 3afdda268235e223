"""The command line."""

import sys


def main() -> None:
    """Run `penstock`; the entry point of the package."""
    if sys.platform != "linux":
        # Before anything is imported that other systems do not have.
        print(f"penstock runs on Linux only, and this is {sys.platform}", file=sys.stderr)
        sys.exit(3)
    from penstock.master.cli.command import penstock  # noqa: PLC0415

    penstock.main(prog_name="penstock")
