"""Users and groups of this system."""

import os
import pwd

import pytest

from penstock.master.config import Config, owner_ids
from penstock.master.config.accounts import group_fault, user_fault


@pytest.mark.parametrize(
    ("user", "group", "ids"),
    [
        (None, None, (None, None)),
        ("root", None, (0, 0)),
        ("0", None, (0, 0)),
        ("root", "4294967294", (0, 4294967294)),
        ("3999999999", None, (3999999999, None)),
        (None, "root", (None, 0)),
    ],
)
def test_names_and_numbers_become_ids(
    user: str | None, group: str | None, ids: tuple[int | None, int | None]
) -> None:
    """
    A user brings its own group; a number need not have an entry, as in containers.
    """
    assert owner_ids(Config(user=user, group=group)) == ids


def test_a_user_that_is_there_passes() -> None:
    """
    By name and by number.
    """
    entry = pwd.getpwuid(os.getuid())

    assert [user_fault(each) for each in (None, entry.pw_name, str(entry.pw_uid))] == [None, None, None]
    assert [group_fault(each) for each in (None, "root", "0")] == [None, None, None]


@pytest.mark.parametrize("name", ["nobody-knows", "", "-1", "4294967295", "99999999999", "٣", "a\0b"])
def test_a_user_that_is_not_there_is_told(name: str) -> None:
    """
    -1 means "do not change" to the kernel, so it must not pass for a number.
    """
    assert (user_fault(name) or "").startswith("found ")
    assert (group_fault(name) or "").startswith("found ")
