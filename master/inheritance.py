"""
The shared segment across a hot restart: taken up as it is, or followed by another.

As it is, if this code would divide it the same way. Otherwise a new one is made,
which has the old one as its ancestor until all who write there are gone. Only
memory that cannot be read at all is given up, and that is counted.
"""

import os
import time

from penstock.master.handover import Handover
from penstock.master.holdings import Holdings
from penstock.master.ledger import Ledger
from penstock.shm.layout import ROW_INDEX_BITS
from penstock.shm.memfd import LayoutMismatch
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.worker.logs import LOG


def take_segment(handover: Handover) -> Segment:
    """Map what is handed over, or make an empty segment if this code cannot read it."""
    try:
        segment = Segment.attach(handover.segment_fd)
    except LayoutMismatch as error:
        LOG.error("%s; counting begins anew", error)
        os.set_inheritable(handover.segment_fd, False)
        rows = [handover.master_row]
        rows += [each.row for each in handover.workers] + [each.row for each in handover.admins]
        return Segment.create(
            Geometry.for_workers(handover.slot_count),
            created_ns=time.time_ns(),
            serial=(max(rows) >> ROW_INDEX_BITS) + 1,
        )
    for fd in handover.ancestor_fds:
        try:
            segment.ancestors.append(Segment.attach(fd))
        except LayoutMismatch as error:
            LOG.error("%s; what was counted there is lost", error)
    return segment


def divide_anew(holdings: Holdings, ledger: Ledger, geometry: Geometry) -> None:
    """Have a segment of this geometry, if the one at hand has another."""
    before = holdings.segment
    if before.schema == geometry.schema():
        return
    LOG.info("hot restart: the shared segment is divided anew; nothing that was counted is lost")
    holdings.segment = before.succeed(geometry, created_ns=time.time_ns())
    row = ledger.row_index
    ledger.move(holdings.segment)
    holdings.retire(row)
