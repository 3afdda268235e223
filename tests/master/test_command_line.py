"""Cutting a command line so that a hot restart can repeat it."""

import pytest

from penstock.master.command_line import CommandLine, cut


@pytest.mark.parametrize(
    ("orig_argv", "argv", "expected"),
    [
        (
            ["python3", "/venv/bin/penstock", "main:app", "--port", "1"],
            ["/venv/bin/penstock", "main:app", "--port", "1"],
            CommandLine((), ("/venv/bin/penstock", "main:app", "--port", "1")),
        ),
        (
            ["python3", "-X", "dev", "-m", "penstock", "main:app"],
            ["/src/penstock/__main__.py", "main:app"],
            CommandLine(("-X", "dev"), ("-m", "penstock", "main:app")),
        ),
        (
            ["python3", "-mpenstock"],
            ["/src/penstock/__main__.py"],
            CommandLine((), ("-m", "penstock")),
        ),
        (
            ["python3", "-u", "-c", "the shim", "-m", "penstock", "-c", "file.yaml"],
            ["/src/penstock/__main__.py", "-c", "file.yaml"],
            CommandLine(("-u",), ("-m", "penstock", "-c", "file.yaml")),
        ),
        (
            ["python3", "/venv/bin/penstock", "-c", "file.yaml"],
            ["/venv/bin/penstock", "-c", "file.yaml"],
            CommandLine((), ("/venv/bin/penstock", "-c", "file.yaml")),
        ),
    ],
    ids=["script", "module", "joined", "through the shim", "own -c"],
)
def test_command_line_is_cut_where_the_program_begins(
    orig_argv: list[str], argv: list[str], expected: CommandLine
) -> None:
    """
    A wrong cut would start something else, or nothing, when it matters most.
    """
    assert cut(orig_argv, argv) == expected
