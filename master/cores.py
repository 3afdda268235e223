"""
How many cores this process may really use.

`os.cpu_count()` counts the machine's. A container usually has fewer: some by
affinity, some by a cgroup quota, which Python does not look at.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

_V2_ROOT = Path("/sys/fs/cgroup")
_V1_ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"))


@dataclass(frozen=True)
class Cores:
    """The cores that the affinity mask allows, and the cgroup's share of them (None: no quota)."""

    allowed: tuple[int, ...]
    quota: float | None

    @property
    def usable_count(self) -> int:
        """One worker for each of these makes sense; at least 1."""
        if self.quota is None:
            return len(self.allowed)
        return max(1, min(len(self.allowed), math.ceil(self.quota)))

    @property
    def is_fractional(self) -> bool:
        """Whether the quota is not a whole number of cores: the scheduler should then place workers."""
        return self.quota is not None and self.quota < len(self.allowed) and self.quota != int(self.quota)

    def core_of(self, slot: int) -> int:
        """Choose the core of a slot; with more slots than cores they share."""
        return self.allowed[slot % len(self.allowed)]


def usable_cores() -> Cores:
    """Look at this process's affinity and cgroup."""
    return Cores(tuple(sorted(os.sched_getaffinity(0))), cgroup_quota(_read(Path("/proc/self/cgroup"))))


def parse_v2_quota(text: str) -> float | None:
    """Read `cpu.max`: "max 100000" or "150000 100000"."""
    quota_us, _, period_us = text.strip().partition(" ")
    return parse_v1_quota(quota_us, period_us)


def parse_v1_quota(quota_us: str, period_us: str) -> float | None:
    """Read `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`."""
    try:
        quota, period = int(quota_us), int(period_us)
        return quota / period if quota > 0 and period > 0 else None
    except (ValueError, OverflowError):
        return None


def cgroup_quota(
    membership: str, *, v2_root: Path = _V2_ROOT, v1_roots: tuple[Path, ...] = _V1_ROOTS
) -> float | None:
    """Find the tightest quota from a process's cgroups, as /proc/PID/cgroup has them, up to the root."""
    quotas: list[float] = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _up_to(v2_root, path):
                quotas += _some(parse_v2_quota(_read(folder / "cpu.max")))
        elif "cpu" in controllers.split(","):
            for root in v1_roots:
                for folder in _up_to(root, path):
                    quota_us, period_us = (
                        _read(folder / "cpu.cfs_quota_us"),
                        _read(folder / "cpu.cfs_period_us"),
                    )
                    quotas += _some(parse_v1_quota(quota_us, period_us))
    return min(quotas, default=None)


def _up_to(root: Path, path: str) -> list[Path]:
    """
    List the folder of a cgroup and of all above it.

    In a container the path may be the host's, and not exist below the root that
    is mounted here; reading then finds nothing, and the root itself has the quota.
    """
    folder = root / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent == root or root in parent.parents)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")  # A cgroup's name may hold any byte.
    except (OSError, ValueError):
        return ""


def _some(quota: float | None) -> list[float]:
    return [] if quota is None else [quota]
