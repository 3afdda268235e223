"""Users and groups of this system: whether they exist, and which numbers they are."""

import grp
import os
import pwd

from penstock.master.config.model import Config
from penstock.master.config.problems import nearest, quoted

# The kernel's uid_t; the last value means "do not change".
ID_MAX = 2**32 - 2


def user_fault(user: str | None) -> str | None:
    """Say what is wrong with a user, by name or number."""
    if user is None or _number(user) is not None:
        return None
    names = [each.pw_name for each in pwd.getpwall()]
    return None if user in names or _user_id(user) is not None else _unknown(user, "user", names)


def group_fault(group: str | None) -> str | None:
    """Say what is wrong with a group, by name or number."""
    if group is None or _number(group) is not None:
        return None
    names = [each.gr_name for each in grp.getgrall()]
    return None if group in names else _unknown(group, "group", names)


def owner_ids(config: Config) -> tuple[int | None, int | None]:
    """
    Look up the uid and gid that workers run as; None: unchanged.

    A user alone brings its own group. The names must exist: judge() saw to it,
    but they may have gone since, which raises KeyError.
    """
    uid = gid = None
    if config.user is not None:
        uid = _number(config.user)
        if uid is None:
            entry = pwd.getpwnam(config.user)
            uid, gid = entry.pw_uid, entry.pw_gid
        else:
            gid = _own_group(uid)
    if config.group is not None:
        gid = _number(config.group)
        if gid is None:
            gid = grp.getgrnam(config.group).gr_gid
    return uid, gid


def changes_user(config: Config) -> bool:
    """Whether workers are to be somebody else than whoever starts the server. Raises KeyError."""
    uid, gid = owner_ids(config)
    return uid not in (None, os.getuid()) or gid not in (None, os.getgid())


def _number(text: str) -> int | None:
    if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= ID_MAX:
        return int(text)
    return None


def _own_group(uid: int) -> int | None:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return None  # A number without an entry, as containers have them.


def _user_id(user: str) -> int | None:
    try:
        # Not every name service lists all of its users.
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        return None


def _unknown(name: str, what: str, names: list[str]) -> str:
    hint = nearest(name, names)
    return f"found {quoted(name)}, expected a {what} of this system" + (f"; {hint}" if hint else "")
