"""The load-test scripts drive a real server."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Server

Start = Callable[..., Server]
SCRIPTS = Path(__file__).resolve().parents[2] / "loadtest" / "scripts"


def test_get_script_runs_under_wrk(start: Start) -> None:
    """
    And what wrk counts is what the server has counted.
    """
    server = start("--port", "0", "--workers", "1", "--no-pin").wait_serving()

    result = subprocess.run(
        [
            "wrk",
            "-t1",
            "-c8",
            "-d1s",
            "-s",
            str(SCRIPTS / "get.lua"),
            f"http://127.0.0.1:{server.port}/whoami",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    counted = re.search(r"(\d+) requests in", result.stdout)
    assert counted is not None, result.stdout
    assert int(counted[1]) > 0
    assert "Non-2xx" not in result.stdout
    assert "Socket errors" not in result.stdout
    # wrk stops in the middle of its last requests: up to one for each connection is not in its count.
    difference = server.metric("penstock_requests_total") - int(counted[1])
    assert 0 <= difference <= 8
