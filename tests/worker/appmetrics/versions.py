"""
The hook over many versions of prometheus_client: `make prometheus-matrix`.

Each version is fetched by pip into a folder of its own, once, and used by a
process that finds it before the installed one.
"""

import os
import subprocess
import sys
from pathlib import Path

# Each in which something changed that the hook touches, from the first in which it works.
VERSIONS = (
    "0.5.0",
    "0.7.1",
    "0.9.0",
    "0.11.0",
    "0.13.1",
    "0.15.0",
    "0.17.1",
    "0.19.0",
    "0.20.0",
    "0.21.0",
    "0.21.1",
    "0.22.1",
    "0.23.1",
    "0.24.1",
    "0.25.0",
    "0.26.0",
)

# What pyproject.toml asks for.
OLDEST_SUPPORTED = "0.21.0"

DEADLINE_S = 100.0

_CHILD = Path(__file__).parent / "children" / "use_metrics.py"
_CACHE = Path(sys.prefix) / "prometheus-versions"


class NotFetched(Exception):
    """Pip could not get this version, and says why."""


def fetched(version: str) -> Path:
    """Give the folder with a version. Raises NotFetched."""
    folder = _CACHE / version
    if not folder.exists():
        partial = _CACHE / f"{version}.{os.getpid()}"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--target", str(partial), f"prometheus_client=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        if done.returncode != 0:
            raise NotFetched(f"prometheus_client {version}: {done.stderr}")
        partial.rename(folder)
    return folder


def fault(version: str) -> str | None:
    """Use a version, and say what went wrong. Raises NotFetched."""
    folder = fetched(version)
    done = subprocess.run(
        [sys.executable, str(_CHILD)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        return done.stderr
    if str(folder) not in done.stderr:
        return f"another version was used: {done.stderr}"
    return None


def main() -> int:
    """Try all versions, and say of each how it went."""
    faults = 0
    for version in VERSIONS:
        found = fault(version)
        faults += found is not None
        print(f"prometheus_client {version}: {'works' if found is None else found}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
