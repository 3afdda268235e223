"""How many cores there are for us, from text that the kernel writes in two versions."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cores import Cores, cgroup_quota, parse_v1_quota, parse_v2_quota, usable_cores


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", None),
        ("100000 100000\n", 1.0),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("", None),
        ("max\n", None),
        ("100000\n", None),
        ("0 100000\n", None),
        ("100000 0\n", None),
        ("-1 100000\n", None),
        ("a b\n", None),
        ("1 2 3\n", None),
        ("² 100000\n", None),
        ("1" * 400 + " 1\n", None),
    ],
)
def test_cpu_max_is_read(text: str, quota: float | None) -> None:
    assert parse_v2_quota(text) == quota


@pytest.mark.parametrize(
    ("quota_us", "period_us", "quota"),
    [
        ("-1\n", "100000\n", None),
        ("200000\n", "100000\n", 2.0),
        ("25000\n", "100000\n", 0.25),
        ("", "", None),
        ("100000\n", "", None),
        ("100000\n", "0\n", None),
        ("0\n", "100000\n", None),
        ("many\n", "100000\n", None),
    ],
)
def test_the_older_pair_of_files_is_read(quota_us: str, period_us: str, quota: float | None) -> None:
    assert parse_v1_quota(quota_us, period_us) == quota


@pytest.mark.parametrize(
    ("allowed", "quota", "usable_count", "is_fractional"),
    [
        (8, None, 8, False),
        (8, 4.0, 4, False),
        (8, 1.5, 2, True),
        (8, 0.1, 1, True),
        (2, 2.0, 2, False),
        # More than there is binds nobody.
        (2, 2.5, 2, False),
        (1, 0.5, 1, True),
    ],
)
def test_a_quota_makes_cores_fewer(
    allowed: int, quota: float | None, usable_count: int, is_fractional: bool
) -> None:
    """A worker more than the quota has cores would only be throttled together with the others."""
    cores = Cores(tuple(range(allowed)), quota)

    assert cores.usable_count == usable_count
    assert cores.is_fractional is is_fractional


def test_slots_take_allowed_cores_in_turn() -> None:
    """The allowed cores need not begin at 0, and workers may be more than cores."""
    cores = Cores((2, 5), None)

    assert [cores.core_of(slot) for slot in range(5)] == [2, 5, 2, 5, 2]


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_the_tightest_quota_up_to_the_root_counts(tmp_path: Path) -> None:
    """A pod's limit stands above its container's."""
    write(tmp_path, cpu_max="800000 100000")
    write(tmp_path / "pod", cpu_max="150000 100000")
    write(tmp_path / "pod" / "container", cpu_max="max 100000")

    assert cgroup_quota("0::/pod/container\n", v2_root=tmp_path) == 1.5
    assert cgroup_quota("0::/\n", v2_root=tmp_path) == 8.0


def test_a_path_of_the_host_falls_back_to_the_root_that_is_mounted(tmp_path: Path) -> None:
    """In a container without a cgroup namespace, /proc names a folder that is not there."""
    write(tmp_path, cpu_max="50000 100000")

    assert cgroup_quota("0::/kubepods/pod1/abc\n", v2_root=tmp_path) == 0.5
    assert cgroup_quota("0::/../../elsewhere\n", v2_root=tmp_path) == 0.5


def test_the_older_hierarchy_is_found_by_its_controller(tmp_path: Path) -> None:
    """`cpu` is mounted alone or with `cpuacct`; `cpuset` is another thing."""
    write(tmp_path / "a", **{"cpu_cfs_quota_us": "300000", "cpu_cfs_period_us": "100000"})
    membership = "5:cpuset:/a\n3:cpu,cpuacct:/a\n1:name=systemd:/a\n"

    assert cgroup_quota(membership, v2_root=tmp_path / "none", v1_roots=(tmp_path,)) == 3.0
    assert cgroup_quota("5:cpuset:/a\n", v1_roots=(tmp_path,)) is None


@pytest.mark.parametrize(
    "membership",
    ["", "\n", "0", "0:", "0::", ":::", "cpu", "1:cpu", "nonsense\n0::/", "0::/a\0b\n", "3:cpu:/\udcff\n"],
)
def test_odd_memberships_are_no_error(tmp_path: Path, membership: str) -> None:
    """A kernel or a sandbox may write anything there; a server starts all the same."""
    assert cgroup_quota(membership, v2_root=tmp_path, v1_roots=(tmp_path,)) is None


@given(st.text())
def test_no_text_at_all_is_an_error(text: str) -> None:
    root = Path("/nowhere")
    cgroup_quota(text, v2_root=root, v1_roots=(root,))
    parse_v2_quota(text)
    parse_v1_quota(text, text)


def test_this_machine_has_the_cores_that_the_affinity_mask_names() -> None:
    assert set(usable_cores().allowed) == os.sched_getaffinity(0)
    assert 1 <= usable_cores().usable_count <= len(usable_cores().allowed)
