"""The notes on kernel settings and limits, held against the kernel that runs the tests."""

import re
import resource
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from penstock.master.config.listener import Listener

ETC = Path(__file__).parents[1] / "etc"
SYSCTL = ETC / "penstock-sysctl.conf"
LIMITS = ETC / "penstock-limits.conf"
PROC_SYS = Path("/proc/sys")


@dataclass(frozen=True)
class Setting:
    """A line that sets, or would if it were not commented out, and what is said above it."""

    key: str
    value: str
    is_on: bool
    reason: str

    @property
    def path(self) -> Path:
        return PROC_SYS / self.key.replace(".", "/")


def settings() -> list[Setting]:
    found = []
    for block in re.split(r"\n\s*\n", SYSCTL.read_text(encoding="utf-8")):
        lines = block.splitlines()
        reason = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
        for line in lines:
            if match := re.fullmatch(r"(#?)([a-z0-9_]+(?:\.[a-z0-9_]+)+) = (.+)", line):
                found.append(Setting(match[2], match[3], not match[1], reason))
            else:
                assert not line or line.startswith("#"), f"not a setting and not a comment: {line}"
    return found


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.key)
def test_every_setting_is_one_of_this_kernel(setting: Setting) -> None:
    """
    A key that the kernel does not know is set by nobody, and nobody is told.

    Those of a module exist when it is loaded, and those of the host not in a
    container; the file says which they are.
    """
    if not setting.path.exists():
        assert "Module" in setting.reason or "Not in a container" in setting.reason
        return
    assert len(setting.value.split()) == len(setting.path.read_text().split())
    assert all(word.isdigit() for word in setting.value.split())


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.key)
def test_every_setting_has_its_reason_and_default(setting: Setting) -> None:
    """
    Otherwise it would be copied from host to host for ever.
    """
    assert "Default" in setting.reason
    assert len(setting.reason) > 100


def test_what_stands_is_for_every_server() -> None:
    """
    What only some need is commented out, so that the file can be copied as it is.
    """
    assert {setting.key for setting in settings() if setting.is_on} == {
        "net.core.somaxconn",
        "net.ipv4.tcp_migrate_req",
    }


def test_accept_queues_are_not_cut() -> None:
    """
    The kernel would shorten a listener's queue without a word.
    """
    backlog = {field.name: field.default for field in msgspec.structs.fields(Listener)}["backlog"]
    [somaxconn] = [int(each.value) for each in settings() if each.key == "net.core.somaxconn"]

    assert somaxconn >= backlog


def test_limits_are_those_of_the_unit() -> None:
    """
    A server started by hand holds as many connections as one that systemd starts.
    """
    lines = LIMITS.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    unit = (ETC / "penstock.service").read_text(encoding="utf-8")
    match = re.search(r"(?m)^LimitNOFILE=(\d+)$", unit)
    assert match is not None

    assert rows == [["penstock", kind, "nofile", match[1]] for kind in ("soft", "hard")]
    assert hasattr(resource, "RLIMIT_NOFILE")
    assert int(match[1]) <= int((PROC_SYS / "fs" / "nr_open").read_text())
