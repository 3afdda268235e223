"""
`penstock run`: from an invocation to a running master, on a first start or after a hot restart.

Everything is opened here, in the order in which a failure is cheapest.
"""

import gc
import os
import selectors
import sys
import time
from collections.abc import Mapping

import setproctitle

from penstock.master.admin_keeper import AdminKeeper
from penstock.master.banner import banner
from penstock.master.blueprint import geometry_of
from penstock.master.boot_shim import RETRY_VARIABLE
from penstock.master.config.accounts import owner_ids
from penstock.master.config.activation import set_sockets_inheritable
from penstock.master.config.control_socket import control_path
from penstock.master.config.invocation import Invocation
from penstock.master.config.model import Config
from penstock.master.config.problems import ConfigError
from penstock.master.cores import usable_cores
from penstock.master.crew import Crew
from penstock.master.fleet import Fleet
from penstock.master.generation import Generation
from penstock.master.handover import HANDOVER_VARIABLE, Handover, HandoverError, read_handover
from penstock.master.holdings import (
    Holdings,
    open_admin,
    open_control,
    open_pidfile,
)
from penstock.master.inheritance import divide_anew
from penstock.master.ledger import Ledger
from penstock.master.lender import Lender
from penstock.master.listeners import ListenError
from penstock.master.members import Members
from penstock.master.operations import ROLLING
from penstock.master.parts import Parts
from penstock.master.planner import (
    PlanError,
    Planner,
    first_port,
    load_config,
    start_logging,
    worker_count_of,
)
from penstock.master.preflight import preflight
from penstock.master.preload import beating, preload
from penstock.master.reloader.keeper import ReloaderKeeper
from penstock.master.signals import SignalInbox
from penstock.master.succession import (
    take_crew,
    take_fleet,
    take_generations,
    take_holdings,
    take_ledger,
    take_lent,
    take_members,
)
from penstock.master.supervisor import EXIT_NOT_STARTED, Supervisor
from penstock.master.systemd import Notifier, take_variables
from penstock.master.threads import leave_if_held
from penstock.master.upgrade import PREFLIGHT_VARIABLE, Upgrade
from penstock.shm.row import State as RowState
from penstock.shm.segment import Segment
from penstock.worker.appmetrics.boot import prepare_app_metrics
from penstock.worker.apps import App, AppImportError
from penstock.worker.logs import LOG
from penstock.worker.spec import AppAction
from penstock.worker.tracebacks import formatted

EXIT_CONFIG = 2

# Said by one image to the next, and not to be passed on.
_OURS = (PREFLIGHT_VARIABLE, HANDOVER_VARIABLE, RETRY_VARIABLE)


# Kept alive whatever fails: an object that is collected closes a descriptor that the boot shim needs.
_inherited: list[object] = []


class StartError(Exception):
    """The server cannot start. Carries the exit status."""

    def __init__(self, message: str, status: int = EXIT_NOT_STARTED) -> None:
        super().__init__(message)
        self.status = status


def serve(invocation: Invocation, environ: Mapping[str, str]) -> int:
    """
    Serve until stopped, and return the exit status. Raises ConfigError before anything was opened.

    `environ` is the environment as it was inherited, before any file was read
    into it: the new code of a hot restart starts from there too.
    """
    environ = {name: value for name, value in environ.items() if name not in _OURS}
    if (request := os.environ.pop(PREFLIGHT_VARIABLE, None)) is not None:
        take_variables(os.environ)  # An app that is imported is not the service.
        status = preflight(invocation, request)
        leave_if_held(status)
        if invocation.is_call:
            sys.exit(status)  # Whatever the program does after the call, it is not to be done now.
        return status
    try:
        if (inherited := os.environ.get(HANDOVER_VARIABLE)) is not None:
            supervisor = _resume(invocation, environ, int(inherited))
            # Taken over: from here on the boot shim has no part in it.
            del os.environ[HANDOVER_VARIABLE]
        else:
            supervisor = _start(invocation, environ)
    except (StartError, HandoverError) as error:
        print(f"penstock: {error}", file=sys.stderr)
        status = getattr(error, "status", EXIT_NOT_STARTED)
        if HANDOVER_VARIABLE not in os.environ:  # Else the boot shim goes on.
            _leave_if_held(invocation, status)
        return status
    set_sockets_inheritable(environ, False)
    # What is loaded now stays: the collector need not look at it, nor fork copy it.
    gc.collect()
    gc.freeze()
    status = supervisor.run()
    _leave_if_held(invocation, status)
    return status


def _leave_if_held(invocation: Invocation, status: int) -> None:
    if not invocation.is_call:  # Else there may be more to do, and the threads are the program's own.
        leave_if_held(status)


def _start(invocation: Invocation, environ: Mapping[str, str]) -> Supervisor:
    """Open everything for the first time. Raises StartError, ConfigError."""
    since_ns = time.time_ns()
    config = load_config(invocation)
    try:
        start_logging(config)
    except (OSError, ValueError) as error:
        raise StartError(f"log: {error}", EXIT_CONFIG) from error
    notifier = Notifier.from_environ(os.environ, resumes=False)  # before an app could find its variables
    prepare_app_metrics()
    apps = _preload_at_start(config)
    worker_count = worker_count_of(config, usable_cores())
    holdings = Holdings(
        segment=_create_segment(config, worker_count),
        lifeline=os.pipe2(os.O_CLOEXEC),
    )
    try:
        if config.pidfile is not None:
            holdings.pidfile = open_pidfile(config.pidfile)
        planner = Planner(invocation, config, config.name or "", apps)
        generation = planner.plan(config, holdings, 1)
        holdings.control = open_control(
            control_path(config, os.getuid(), environ, port=first_port(holdings.listeners.values())),
            is_asked_for=config.control is not None,
        )
        holdings.admin = open_admin(config)
    except PlanError as error:
        holdings.close()
        raise StartError(str(error), EXIT_CONFIG if error.is_config else EXIT_NOT_STARTED) from error
    except ListenError as error:
        holdings.close()
        raise StartError(str(error)) from error
    setproctitle.setproctitle(f"penstock: master [{planner.name}]")
    selector = selectors.DefaultSelector()
    crew = Crew(selector)
    return _assemble(
        planner,
        holdings,
        upgrade=Upgrade(invocation.directory, environ),
        notifier=notifier,
        crew=crew,
        selector=selector,
        admin_account=owner_ids(config),
        since_ns=since_ns,
        fleet=Fleet(slot_count=worker_count, generation=1),
        generations={1: generation},
        lender=Lender(crew),
        members=Members(holdings.segment.series),
        ledger=Ledger.open(holdings.segment, name=planner.name, started_at_s=time.time()),
    )


def _create_segment(config: Config, worker_count: int) -> Segment:
    """Make the memory for everybody's numbers. Raises StartError."""
    try:
        geometry = geometry_of(config, worker_count)
    except ValueError as error:
        raise StartError(str(error), EXIT_CONFIG) from error
    return Segment.create(geometry, created_ns=time.time_ns())


def _preload_at_start(config: Config) -> Mapping[AppAction, App] | None:
    """Import the apps if that is to be done here. Raises StartError."""
    if not config.preload:
        return None
    try:
        return preload(config)
    except AppImportError as error:
        if error.__cause__ is not None:
            # The user's own code raised it, and the user's own lines say why.
            print(formatted(error.__cause__), end="", file=sys.stderr)
        raise StartError(str(error)) from error


def _show_alive(ledger: Ledger, notifier: Notifier) -> None:
    """Show whoever watches the master that a long import is not its end."""
    ledger.beat(RowState.UPGRADING)
    notifier.tick(time.monotonic())


def _resume(invocation: Invocation, environ: Mapping[str, str], handover_fd: int) -> Supervisor:
    """Take up what the code before this one held, and roll its workers. Raises HandoverError."""
    since_ns = time.time_ns()
    handover = read_handover(handover_fd)
    holdings = take_holdings(handover)
    _inherited.append(holdings)
    setproctitle.setproctitle(f"penstock: master [{handover.name}]")
    selector = selectors.DefaultSelector()
    crew = take_crew(handover, selector)
    generations = take_generations(handover)
    ledger = take_ledger(handover, holdings.segment)
    if os.environ.pop(RETRY_VARIABLE, None) is not None:
        ledger.operations.retried(time.time())
    ledger.operations.refuse("stacks", "the server was restarted meanwhile; ask again", time.time())
    notifier = Notifier.from_environ(os.environ, resumes=True)
    number = handover.last_generation + 1
    apps: Mapping[AppAction, App] | None = None
    try:
        config = load_config(invocation)
        start_logging(config)
        prepare_app_metrics()
        if config.preload:
            apps = {}  # Also where an import fails: by then some modules are there.
            with beating(lambda: _show_alive(ledger, notifier)):
                apps = preload(config)
        divide_anew(holdings, ledger, geometry_of(config, _slot_count(handover, config)))
        planner = Planner(invocation, config, handover.name, apps)
        generations[number] = planner.plan(config, holdings, number)
        admin_account = owner_ids(config)
        fleet = Fleet(
            slot_count=min(_slot_count(handover, config), holdings.worker_count_max),
            generation=number,
            is_rolling=True,
            has_served=True,
        )
        # A reload that waited for the check is in this too: the configuration was read after it.
        ledger.operations.aim(number, *ROLLING)
    except (PlanError, ConfigError, AppImportError, OSError, ValueError) as error:
        # The check passed a moment ago, so this is rare; whoever serves goes on serving.
        planner = Planner(invocation, Config(), handover.name, apps)
        admin_account = handover.admin_account
        fleet = Fleet(
            slot_count=handover.slot_count, generation=max(generations), has_served=True, can_spawn=False
        )
        ledger.fail(f"hot restart: {error}")
        for verb in ROLLING:
            ledger.operations.refuse(verb, f"hot restart: {error}", time.time())
        ledger.operations.abandoned(f"hot restart: {error}", time.time())
        LOG.error("hot restart: %s", error)
    supervisor = _assemble(
        planner,
        holdings,
        upgrade=Upgrade(invocation.directory, environ),
        notifier=notifier,
        crew=crew,
        selector=selector,
        admin_account=admin_account,
        since_ns=since_ns,
        fleet=take_fleet(handover, fleet, generations),
        generations=generations,
        lender=Lender(crew, take_lent(handover)),
        members=take_members(handover, holdings.segment),
        ledger=ledger,
        admins={held.pid: held.row for held in handover.admins},
        drain_reasons={held.pid: held.drain_reason for held in handover.workers if held.drain_reason},
    )
    for fd in handover.descriptors():
        os.set_inheritable(fd, False)
    os.close(handover_fd)
    if fleet.is_rolling:
        LOG.info("hot restart: generation %d takes over from %d workers", number, len(handover.workers))
    return supervisor


def _slot_count(handover: Handover, config: Config) -> int:
    """Keep the number of slots as scaled by hand, unless the config asks for another."""
    if config.workers == handover.configured_workers:
        return handover.slot_count
    return worker_count_of(config, usable_cores())


def _assemble(
    planner: Planner,
    holdings: Holdings,
    *,
    upgrade: Upgrade,
    notifier: Notifier,
    crew: Crew,
    selector: selectors.BaseSelector,
    admin_account: tuple[int | None, int | None],
    since_ns: int,
    fleet: Fleet,
    generations: dict[int, Generation],
    lender: Lender,
    members: Members,
    ledger: Ledger,
    admins: Mapping[int, int] | None = None,
    drain_reasons: Mapping[int, str] | None = None,
) -> Supervisor:
    admin = AdminKeeper(crew, holdings, name=planner.name, account=admin_account)
    for pid, row in (admins or {}).items():
        admin.adopt(pid, row)
    return Supervisor(
        Parts(
            planner=planner,
            holdings=holdings,
            fleet=planner.configured(fleet),
            generations=generations,
            crew=crew,
            selector=selector,
            inbox=SignalInbox(),
            lender=lender,
            members=members,
            admin=admin,
            reloader=ReloaderKeeper(crew, name=planner.name, account=admin_account, since_ns=since_ns),
            ledger=ledger,
            upgrade=upgrade,
            notifier=notifier,
            drain_reasons=drain_reasons or {},
            on_serving=lambda slot_count: _greet(
                banner(planner.config, holdings, slot_count, planner.watch_plan())
            ),
        )
    )


def _greet(text: str) -> None:
    """Print the banner; nobody may be reading."""
    try:
        print(text, flush=True)
    except OSError:
        pass
