"""What counts is chosen by the environment and told by `penstock status`, and the numbers are the same."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.shm.counting import PURE, choose
from tests.process.harness import Server, wait_for

Start = Callable[..., Server]


@pytest.mark.parametrize("pure", ["", "1"], ids=["usual", "pure"])
def test_server_says_what_counts_and_counts_the_same(start: Start, tmp_path: Path, pure: str) -> None:
    """
    Whoever suspects the extension runs without it, and sees that it is gone.
    """
    server = start("--port", "0", "--workers", "2", env={PURE: pure} if pure else {}).wait_serving()
    expected = "python" if pure else choose({})

    for _ in range(20):
        assert server.get("/whoami")[0] == 200
    wait_for(lambda: sum(each["requests"] for each in server.status()["workers"]) >= 20, "20 requests")

    assert server.status()["shared_memory"]["counting"] == expected
    told = subprocess.run(
        [sys.executable, "-m", "penstock", "status", "--control", str(server.control)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert f"counting: {expected}" in told.splitlines()
    # Workers map what they count with.
    maps = [Path(f"/proc/{each['pid']}/maps").read_text() for each in server.status()["workers"]]
    assert all(("/_native." in each) == (expected == "native") for each in maps)
