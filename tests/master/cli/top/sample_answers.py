"""What a server with two workers answers on its control socket, for the tests of `penstock top`."""

from copy import deepcopy
from typing import Any

WALL_S = 1_700_000_000.0

STATUS: dict[str, Any] = {
    "name": "shop",
    "version": "0.1.0",
    "master": {
        "pid": 3999,
        "state": "running",
        "generation": 3,
        "started_at": WALL_S - 7384,
        "rss_bytes": 38 * 2**20,
        "last_failure": None,
    },
    "workers": [
        {
            "slot": slot,
            "core": slot,
            "pid": 4000 + slot,
            "state": "ready",
            "generation": 3,
            "age_s": 754.0,
            "rss_bytes": 36 * 2**20,
            "connections": 12,
            "connections_active": 2,
            "connections_idle": 10,
            "cpu_s": 100.0,
            "requests": 1000,
            "loop_lag_s": 0.0004,
        }
        for slot in (0, 1)
    ],
    "listeners": [
        {
            "name": "web",
            "address": "127.0.0.1:8000",
            "shards": [{"index": index, "slot": index // 4, "queued": 0} for index in range(8)],
        }
    ],
    "operations": [],
    "crash_loops": [],
    "upstreams": [],
}

SAMPLES: dict[str, Any] = {
    "now": WALL_S,
    "slots": {
        str(slot): [
            {
                "t": WALL_S - 3 + second,
                "requests": second * 50,
                "errors": second * 2,
                "sent_bytes": second * 2048,
                "connections": 12,
                "loop_lag_s": 0.0,
                "generation": 3,
            }
            for second in range(4)
        ]
        for slot in (0, 1)
    },
    "latency": [
        {"t": WALL_S - 10, "p50_s": 9.0, "p95_s": 9.0, "p99_s": 9.0, "slots": {}},
        {
            "t": WALL_S - 5,
            "p50_s": 0.00042,
            "p95_s": 0.002,
            "p99_s": 0.0031,
            "slots": {"0": {"p50_s": 0.0004, "p99_s": 0.003}, "1": {"p50_s": 0.0005, "p99_s": 0.0035}},
        },
    ],
}

REQUESTS: dict[str, Any] = {
    "requests": [
        {
            "slot": 1,
            "pid": 4001,
            "generation": 3,
            "method": "GET",
            "path": "/reports/2024",
            "route": "/",
            "state": "running",
            "age_s": 12.5,
            "sent_bytes": 0,
        },
        {
            "slot": 0,
            "pid": 4000,
            "generation": 3,
            "method": "POST",
            "path": "/orders",
            "route": "/",
            "state": "sending",
            "age_s": 0.02,
            "sent_bytes": 65536,
        },
    ]
}


def status(**workers: Any) -> dict[str, Any]:
    """Give a status of one's own, its workers with some keys changed."""
    own = deepcopy(STATUS)
    for worker in own["workers"]:
        worker.update(workers)
    return own


def later_status(seconds: float = 2.0) -> dict[str, Any]:
    """Give the status after a time of 50 requests a second and half a core for each worker."""
    return status(age_s=754.0 + seconds, requests=1000 + int(50 * seconds), cpu_s=100.0 + seconds / 2)
