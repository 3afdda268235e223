"""What docs/benchmarks.md tells one to type is there to be typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (loadtest/\w+)(.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("program", sorted({program for program, _ in COMMANDS}))
def test_every_option_exists(program: str) -> None:
    """
    A page about a tool ages faster than the tool.
    """
    told = subprocess.run(
        [sys.executable, program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    named = {
        option
        for used, arguments in COMMANDS
        if used == program
        for option in re.findall(r"(?<=\s)--[a-z-]+", arguments)
    }

    assert named <= set(re.findall(r"--[a-z-]+", told))


def test_every_target_of_make_exists() -> None:
    """
    So with the Makefile.
    """
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert set(re.findall(r"`make ([a-z-]+)", PAGE)) <= targets


def test_every_file_exists() -> None:
    """
    And with files and folders of `loadtest/`.
    """
    for name in re.findall(r"`(loadtest/[\w./-]*(?:/|\.\w+))`", PAGE):
        assert (ROOT / name).exists(), name
