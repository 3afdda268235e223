"""What master and worker do at their start about the app's metrics, and what they say in the log."""

import os

from penstock.shm.app_values import AppValues, area_of
from penstock.shm.row import Row
from penstock.shm.segment import Segment
from penstock.worker.appmetrics import hook, multiproc
from penstock.worker.logs import LOG


def prepare_app_metrics() -> None:
    """Hook into prometheus_client, in the master, before it imports an app or forks a worker that does."""
    for trouble in (hook.prepare(), multiproc.warning(os.environ)):
        if trouble is not None:
            LOG.warning("app metrics: %s", trouble)


def share_app_metrics(segment: Segment, row: Row) -> None:
    """Keep this worker's metrics in its row from now on."""
    if hook.is_prepared():
        hook.install(area_of(row), view=AppValues(segment), on_trouble=_warn)


def tell_what_is_not_shared(slot: int) -> None:
    """Say once, for all workers, which metrics of the imported app are not everybody's."""
    if slot == 0 and hook.is_prepared():
        for notice in hook.notices():
            _warn(notice)


def _warn(text: str) -> None:
    LOG.warning("app metrics: %s", text)
