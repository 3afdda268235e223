"""
Reloads of a running server, one after the other, each seen to its end.
"""

import os
import time

from bench.peers import Peer
from bench.server import Server

# Under load on one core, an import of FastAPI in several workers takes seconds.
RELOAD_S = 25.0
POLL_S = 0.1

# Around each reload: no client thinks for more than a tenth of it, so all are in their stride.
PAUSE_S = 0.5


def reload_times(server: Server, peer: Peer, workers: int, times: int) -> tuple[str, ...]:
    """Reload so many times; return what has to be said about it. The peer must have a reload."""
    assert peer.reload is not None
    notes: list[str] = []
    time.sleep(PAUSE_S)
    for _ in range(times):
        before = set(server.pids()[1:])
        server.send(peer.reload)
        if not _is_over(server, before, peer.processes(workers)):
            notes.append(f"a reload was not over within {RELOAD_S:g} s")
        time.sleep(PAUSE_S)
    return tuple(dict.fromkeys(notes))


def _is_over(server: Server, before: set[int], processes: int) -> bool:
    """Wait until as many processes as serve have gone and come; helpers of a master may stay."""
    deadline_s = time.monotonic() + RELOAD_S
    while time.monotonic() < deadline_s:
        server.check()
        now = set(server.pids()[1:])
        gone = {pid for pid in before - now if not _is_alive(pid)}
        if len(gone) >= processes and len(now - before) >= processes:
            return True
        time.sleep(POLL_S)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
