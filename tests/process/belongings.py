"""
What the processes of a server hold: after each failure it is to be what it was before.
"""

import re
from collections import Counter
from pathlib import Path

import psutil

from tests.process.harness import Server, wait_for

# One after the other, with pauses: longer than a connection takes to be closed.
SAME_LOOKS = 8


def belongings(server: Server) -> Counter[str]:
    """Count the processes of a server and the descriptors of each, by kind; numbers are left out."""
    found: Counter[str] = Counter()
    for process in [psutil.Process(server.pid), *server.children()]:
        try:
            title = "master" if process.pid == server.pid else _kind(process.cmdline()[0])
            found[f"{title}, zombie" if process.status() == psutil.STATUS_ZOMBIE else title] += 1
            for file in Path(f"/proc/{process.pid}/fd").iterdir():
                found[f"{title} {_kind(str(file.readlink()))}"] += 1
        except (psutil.NoSuchProcess, FileNotFoundError, IndexError):
            found["gone while we looked"] += 1
    return found


def settled_belongings(server: Server) -> Counter[str]:
    """Count when nothing comes and goes any more, such as a connection on which the status was asked."""
    looks = [belongings(server)]

    def is_settled() -> bool:
        looks.append(belongings(server))
        return looks[-SAME_LOOKS:] == [looks[-1]] * SAME_LOOKS

    wait_for(is_settled, "what is held to stay so")
    return looks[-1]


def wait_unchanged(server: Server, before: Counter[str]) -> None:
    """Wait until a server holds what it held before; say what is too much, and what is missing."""
    now: Counter[str] = Counter()

    def is_so() -> bool:
        now.clear()
        now.update(belongings(server))
        return now == before

    try:
        wait_for(is_so, "what is held to be what it was", 10.0)
    except AssertionError as error:
        raise AssertionError(
            f"{error}\ntoo much: {now - before}\nmissing: {before - now}\n{server.output()}"
        ) from None


def _kind(name: str) -> str:
    return re.sub(r"\d+", "N", name.partition(" [")[0])
