"""
What a master is put together from, on a first start or after a hot restart.
"""

import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.master.admin_keeper import AdminKeeper
from penstock.master.crew import Crew
from penstock.master.fleet import Fleet
from penstock.master.generation import Generation
from penstock.master.holdings import Holdings
from penstock.master.ledger import Ledger
from penstock.master.lender import Lender
from penstock.master.members import Members
from penstock.master.planner import Planner
from penstock.master.reloader.keeper import ReloaderKeeper
from penstock.master.signals import SignalInbox
from penstock.master.systemd import Notifier
from penstock.master.upgrade import Upgrade


@dataclass
class Parts:
    """All of it."""

    planner: Planner
    holdings: Holdings
    fleet: Fleet
    generations: dict[int, Generation]
    drain_reasons: Mapping[int, str]
    crew: Crew
    selector: selectors.BaseSelector
    inbox: SignalInbox
    lender: Lender
    members: Members
    admin: AdminKeeper
    reloader: ReloaderKeeper
    ledger: Ledger
    upgrade: Upgrade
    notifier: Notifier
    on_serving: Callable[[int], None]  # called once with the number of slots, when each of them serves
