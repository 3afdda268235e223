"""
From what the operator wrote to a generation that can be started.

Reads the configuration again each time, opens the addresses it adds, and gives
one error that says all. A plan that fails leaves every listener open that was
open before, and none that was not.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from penstock.master.access_file import AccessFile
from penstock.master.behind import watched_upstreams
from penstock.master.blueprint import (
    NO_ROOM,
    Account,
    account_of,
    build_spec,
    log_spec,
    tls_contexts,
)
from penstock.master.config.bind import TcpBind
from penstock.master.config.control_socket import instance_name
from penstock.master.config.invocation import Invocation
from penstock.master.config.model import Config
from penstock.master.config.problems import ConfigError
from penstock.master.cores import Cores, usable_cores
from penstock.master.fleet import Fleet
from penstock.master.generation import Generation
from penstock.master.holdings import Holdings, reconcile_listeners, retune_listeners, shard_count_of
from penstock.master.listeners import Listener, ListenError
from penstock.master.reloader.plan import WatchPlan, plan_of
from penstock.shm.series import SeriesFull
from penstock.worker.apps import App
from penstock.worker.logs import LOG, open_log_file, set_up_logging
from penstock.worker.spec import AppAction


class PlanError(Exception):
    """The configuration cannot be put into practice: by a mistake in it, or by the machine's no."""

    def __init__(self, message: str, *, is_config: bool) -> None:
        super().__init__(message)
        self.is_config = is_config


class NeedsNewImage(Exception):
    """The apps are imported in the master, or are to be: new code for them takes a hot restart."""


class Planner:
    """
    Makes generations from one invocation.

    `apps` is None in an image that has imported none of them.
    """

    def __init__(
        self,
        invocation: Invocation,
        config: Config,
        name: str = "",
        apps: Mapping[AppAction, App] | None = None,
    ) -> None:
        self._invocation = invocation
        self._apps = apps
        self.config = config
        self.name = name  # Chosen by the first plan if it is not known yet, and then kept.

    def reload(self, holdings: Holdings, number: int) -> Generation:
        """
        Read the configuration again and plan a generation by it. Raises PlanError, NeedsNewImage.

        The working directory is looked up by its name again, because a
        deployment switches the symlink that the name leads through.
        """
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(self._invocation.directory)
            config = load_config(self._invocation)
            if config.preload or self._apps is not None or self._invocation.is_restarted:
                raise NeedsNewImage
            generation = self.plan(config, holdings, number)
            if self._invocation.is_object:
                LOG.warning(
                    "reload: the app was given as an object, so the new workers have the same one; "
                    "USR2 starts the program anew"
                )
        except OSError as error:
            os.fchdir(here)
            raise PlanError(f"{self._invocation.directory}: {error.strerror}", is_config=False) from error
        except ConfigError as error:
            os.fchdir(here)
            raise PlanError(str(error), is_config=True) from error
        except (PlanError, NeedsNewImage):
            os.fchdir(here)
            raise
        finally:
            os.close(here)
        for key in ("admin", "control", "name", "pidfile"):
            if getattr(config, key) != getattr(self.config, key):
                LOG.warning("reload: a change of %s takes effect when the server is started again", key)
        self.config = config
        return generation

    def apply_log_settings(self) -> None:
        """Log as the config now says; whoever is forked from now on does too."""
        try:
            start_logging(self.config)
        except (OSError, ValueError) as error:
            LOG.error("log: %s; going on with the old one", error)

    def configured(self, fleet: Fleet) -> Fleet:
        """Have a fleet treated as the config says."""
        return replace(
            fleet,
            boot_timeout_s=self.config.worker_startup_timeout_s,
            is_watched=self.config.reloading is not None,
        )

    def watch_plan(self) -> WatchPlan | None:
        """Say what is watched for changes, if anything is."""
        return plan_of(self.config, self._invocation)

    def slot_count_after(self, before: Config, slot_count: int) -> int:
        """Choose the number of slots after a reload: as scaled by hand, unless the config changed."""
        if before.workers == self.config.workers:
            return slot_count
        return worker_count_of(self.config, usable_cores())

    def plan(self, config: Config, holdings: Holdings, number: int) -> Generation:
        """Open what the config adds and work out what the workers are told. Raises PlanError."""
        cores = usable_cores()
        held = set(holdings.listeners)
        try:
            account = account_of(config)
            if account != Account() and os.geteuid() != 0:
                raise PlanError("only root can run workers as another user or group", is_config=False)
            if account.uid is not None and account.gid is None:
                raise PlanError(f"user {config.user} has no group of its own; give one", is_config=True)
            contexts = tls_contexts(config)
            wanted = reconcile_listeners(
                holdings.listeners, config, shard_count_of(worker_count_of(config, cores)), account
            )
        except KeyError as error:
            raise PlanError(str(error.args[0]), is_config=True) from error
        except (OSError, ValueError) as error:
            raise PlanError(f"certificate: {error}", is_config=True) from error
        except ListenError as error:
            raise PlanError(str(error), is_config=False) from error
        self.name = self.name or instance_name(config, first_port(wanted.values()))
        try:
            spec = build_spec(
                config, holdings.segment.series, name=self.name, generation=number, account=account
            )
            access_file = AccessFile.of(spec.access)
        except (SeriesFull, OSError) as error:
            for key in wanted.keys() - held:
                wanted[key].close()
            if isinstance(error, OSError):
                raise PlanError(
                    f"log.access.path: {error.filename}: {error.strerror}", is_config=True
                ) from error
            raise PlanError(NO_ROOM, is_config=True) from error
        holdings.listeners |= wanted
        retune_listeners(holdings.listeners, config)
        return Generation(
            number=number,
            addresses=frozenset(wanted),
            drain_timeout_s=config.drain_timeout_s,
            spec=spec,
            tls_contexts=contexts,
            apps=self._apps or {},
            groups=account.groups,
            is_pinned=is_pinned(config, cores),
            watched=watched_upstreams(config, spec),
            access_file=access_file,
        )


def start_logging(config: Config) -> None:
    """Send the log where the config says. Raises OSError, or ValueError for a useless `log.config`."""
    spec = log_spec(config)
    set_up_logging(spec, open_log_file(config.log.path) if config.log.path else None)


def load_config(invocation: Invocation) -> Config:
    """Read the configuration, and log what is odd about it. Raises ConfigError."""
    invocation.enter()
    reading = invocation.read()
    if reading.config.umask is not None:
        os.umask(reading.config.umask)
    for warning in reading.warnings:
        LOG.warning("%s", warning)
    return reading.config


def worker_count_of(config: Config, cores: Cores) -> int:
    """Count the workers that the config asks for on these cores."""
    return cores.usable_count if config.workers == "auto" else config.workers


def is_pinned(config: Config, cores: Cores) -> bool:
    """Whether workers are bound to cores; under a fractional quota the scheduler knows better."""
    return config.pin if config.pin is not None else not cores.is_fractional


def first_port(listeners: Iterable[Listener]) -> int | None:
    """Tell the port that the first TCP listener got, which with port 0 only the kernel knows."""
    for listener in listeners:
        if isinstance(listener.address, TcpBind):
            return int(listener.shards[0].getsockname()[1])
    return None
