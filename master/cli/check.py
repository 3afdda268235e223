"""`penstock check`: everything that can be found wrong before a socket is bound."""

import sys
from typing import NamedTuple

import click

from penstock.master.blueprint import geometry_of
from penstock.master.config import Config, Invocation
from penstock.master.threads import leave_if_held

EXIT_OK, EXIT_CONFIG, EXIT_APP = 0, 2, 3


class Question(NamedTuple):
    """What `--explain` is to tell of: a request, its headers, and its client."""

    request: str
    headers: tuple[str, ...] = ()
    client: str | None = None


def check_invocation(invocation: Invocation, question: Question | None = None) -> int:
    """
    Read the configuration and import its apps; answers the exit status. Raises ConfigError.

    With a question it is answered instead, and nothing imported.
    """
    invocation.enter()
    reading = invocation.read()
    for warning in reading.warnings:
        click.echo(f"warning: {warning}", err=True)
    if question is not None:
        # Here and not above: the rest does without the data plane.
        from penstock.master.cli.explain import explained  # noqa: PLC0415

        return explained(reading.config, *question)
    try:
        geometry_of(reading.config, 1)
    except ValueError as error:
        click.echo(str(error), err=True)
        leave_if_held(EXIT_CONFIG)
        return EXIT_CONFIG
    faults = _import_apps(reading.config)
    for fault in faults:
        click.echo(fault, err=True)
    if not faults:
        click.echo(_summary(reading.config))
    leave_if_held(EXIT_APP if faults else EXIT_OK)
    return EXIT_APP if faults else EXIT_OK


def _import_apps(config: Config) -> list[str]:
    # Here and not above: the other commands do without the data plane.
    from penstock.worker.appmetrics.boot import prepare  # noqa: PLC0415
    from penstock.worker.apps import AppImportError, load_app  # noqa: PLC0415
    from penstock.worker.tracebacks import formatted  # noqa: PLC0415

    prepare()  # An app that is imported finds prometheus_client as it will in a worker.

    targets = {
        (route.app, route.factory, route.interface): None
        for listener in config.listeners
        for route in listener.leaves
        if route.app is not None
    }
    faults = []
    for target, factory, interface in targets:
        try:
            load_app(target, factory=factory, interface=interface, app_dir=config.app_dir)
        except AppImportError as error:
            if error.__cause__ is not None:
                # The user's own code raised it, and the user's own lines say why.
                print(formatted(error.__cause__), end="", file=sys.stderr)
            faults.append(str(error))
    return faults


def _summary(config: Config) -> str:
    routes = [route for listener in config.listeners for route in listener.routes]
    apps = {leaf.app for route in routes for leaf in route.leaves if leaf.app is not None}
    counted = ", ".join(
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((len(config.listeners), "listener"), (len(routes), "route"), (len(apps), "app"))
    )
    return f"config ok: {counted}"
