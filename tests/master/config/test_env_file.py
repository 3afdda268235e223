"""The file that `--env-file` names."""

from pathlib import Path

import pytest

from penstock.master.config import ConfigError
from penstock.master.config.env_file import NOTE, apply_env_file, parse_env_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b c  ", "b c"),
        ("export A=b", "b"),
        ("A=", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A= # comment", ""),
        ("A='b # \\n c' # comment", "b # \\n c"),
        (r'A="b\n\"c\" $D #" # comment', 'b\n"c" $D #'),
        ("A=$B ${C}", "$B ${C}"),
        ("A=b=c", "b=c"),
        ("A=é", "é"),
        ("A=b\r", "b"),
    ],
)
def test_a_line_sets_a_variable(line: str, value: str) -> None:
    """
    What docker, systemd and dotenv agree on.
    """
    assert parse_env_file(f"# comment\n\n{line}\n", "f") == {"A": value}


def test_every_bad_line_is_told_and_no_value_is_shown() -> None:
    """
    This is where people keep passwords.
    """
    with pytest.raises(ConfigError) as caught:
        parse_env_file('secret\nGOOD=1\n  1X=secret\nB=\'secret\nC="secret" x\nD=sec\0ret\n', "f")

    assert str(caught.value).splitlines() == [
        "f:1:1: found a line without '=', expected NAME=value",
        "f:3:3: found '1X', expected NAME=value",
        "f:4:1: found 'B', expected a value whose quotes are closed at its end",
        "f:5:1: found 'C', expected a value whose quotes are closed at its end",
        "f:6:1: found 'D', expected a value whose quotes are closed at its end",
    ]
    assert "secret" not in str(caught.value)


def test_what_is_set_already_wins_over_the_file_each_time(tmp_path: Path) -> None:
    """
    The operator's own environment is stronger, and stays so after a hot restart that inherits all of it.
    """
    file = tmp_path / ".env"
    environ = {"A": "operator"}

    file.write_text("A=1\nB=1\nC=1\n")
    apply_env_file(str(file), environ)
    assert environ == {"A": "operator", "B": "1", "C": "1", NOTE: "B,C"}

    file.write_text("A=2\nB=2\n")
    apply_env_file(str(file), environ)
    assert environ == {"A": "operator", "B": "2", NOTE: "B"}


def test_a_file_that_is_wrong_leaves_the_environment_alone(tmp_path: Path) -> None:
    """
    A HUP with a broken file changes nothing.
    """
    file = tmp_path / ".env"
    environ = {"B": "1", NOTE: "B"}

    for data, told in (
        (b"B\n", "expected NAME=value"),
        (b"\xff", "is not UTF-8 text"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1 MiB"),
    ):
        file.write_bytes(data)
        with pytest.raises(ConfigError, match=told):
            apply_env_file(str(file), environ)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        apply_env_file(str(tmp_path), environ)
    assert environ == {"B": "1", NOTE: "B"}
