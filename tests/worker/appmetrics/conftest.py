"""Two workers in one process: the same prometheus_client, hooked to one area and then to another."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from penstock.shm.readings import Source
from penstock.shm.values import ValueArea
from penstock.worker.appmetrics.hook import Hook, install
from penstock.worker.appmetrics.keeper import OneArea


class Fleet:
    """Areas of workers, of which the process is one after the other."""

    def __init__(self, count: int, *, value_count: int = 1024, key_words: int = 4096) -> None:
        self.areas = [ValueArea.scratch(value_count, key_words) for _ in range(count)]
        sources = [Source(slot, area, str(slot), rank=slot) for slot, area in enumerate(self.areas)]
        self.view = OneArea(*sources)
        self.said: list[str] = []
        self.hook: Hook | None = None

    def become(self, slot: int) -> CollectorRegistry:
        """Be a worker that has just begun: nothing registered, nothing counted."""
        self.leave()
        self.hook = install(self.areas[slot], view=self.view, on_trouble=self.said.append)
        assert self.hook is not None, self.said
        return CollectorRegistry()

    def leave(self) -> None:
        """Put prometheus_client back."""
        if self.hook is not None:
            self.hook.uninstall()
            self.hook = None


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Two workers with room for everything."""
    fleet = Fleet(2)
    yield fleet
    fleet.leave()


@pytest.fixture
def tiny_fleet() -> Iterator[Fleet]:
    """Two workers with room for some forty values."""
    fleet = Fleet(2, value_count=48, key_words=500)
    yield fleet
    fleet.leave()
