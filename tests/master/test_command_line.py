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
        (
            ["python3", "-u", "-W", "error", "-Xdev", "-Bum", "penstock", "-w", "2"],
            ["/src/penstock/__main__.py", "-w", "2"],
            CommandLine(("-u", "-W", "error", "-Xdev"), ("-m", "penstock", "-w", "2")),
        ),
        (
            ["python3", "--check-hash-based-pycs", "never", "serve.py", "-c", "x"],
            ["changed by the program"],
            CommandLine(("--check-hash-based-pycs", "never"), ("serve.py", "-c", "x")),
        ),
        (["python3", "-c", "the shim", "serve.py"], ["serve.py"], CommandLine((), ("serve.py",))),
        (["python3", "-c", "import penstock", "x"], ["-c", "x"], None),
        (["python3", "-"], ["-"], None),
        (["python3"], [""], None),
        (["python3", "-i"], [""], None),
    ],
    ids=[
        "script",
        "module",
        "joined",
        "through the shim",
        "own -c",
        "options with values",
        "own program",
        "own program through the shim",
        "no file but a text",
        "standard input",
        "typed",
        "typed on",
    ],
)
def test_command_line_is_cut_where_the_program_begins(
    orig_argv: list[str], argv: list[str], expected: CommandLine | None
) -> None:
    """
    A wrong cut would start something else, or nothing, when it matters most.
    """
    assert cut(orig_argv, argv) == expected
