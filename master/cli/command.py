"""
`penstock`: which command is meant, and the running of it.

An APP and a command are told apart by the first word: a command's name
without a colon is the command.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

import penstock as package
from penstock.master.cli.check import Question, check_invocation
from penstock.master.cli.help import write_help, write_options
from penstock.master.cli.order import TIMEOUT_S, give_order
from penstock.master.cli.parameters import Command, first_word, given_invocation, invocation_parameters
from penstock.master.cli.status import show_status
from penstock.master.config import ConfigError
from penstock.master.config.activation import claim_sockets
from penstock.master.config.problems import nearest
from penstock.master.config.schema import schema_text
from penstock.master.signals import unblock_signals
from penstock.master.verbs import VERBS

EXIT_USAGE = 2

SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 100}


class Penstock(Command):
    """The command `penstock`, which runs a server unless its first word names another command."""

    # Click's own has overloads that say which settings return at all.
    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Find the command that is meant and run it."""
        words = list(sys.argv[1:] if args is None else args)
        name = prog_name or "penstock"
        index = first_word(words, self.params)
        if index is not None and words[index] in COMMANDS:
            word = words.pop(index)
            unblock_signals()  # These have no use for them, and may be ended by any.
            return COMMANDS[word].main(words, prog_name=f"{name} {word}", **extra)
        return super().main(words, prog_name=name, **extra)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole page."""
        write_help(formatter)


class Check(Command):
    """The command `penstock check`, which takes what `penstock` takes."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option in its group."""
        with formatter.section("Explaining"):
            formatter.write_dl(
                [each.get_help_record(ctx) or ("", "") for each in self.params if each.name in EXPLAINING]
            )
        write_options(formatter)


def _penstock(**_: Any) -> NoReturn:
    context = click.get_current_context()
    app = context.params.get("app")
    if app is not None and ":" not in app and (hint := nearest(app, COMMANDS)):
        raise click.UsageError(f"there is no command {app!r}; {hint}", context)
    invocation = given_invocation(context)
    if context.meta.get(CHECK):
        unblock_signals()
        _check()
    claim_sockets(os.environ)
    # A hot restart starts from this environment again, and not from what a file put into it.
    environ = dict(os.environ)
    # The other commands need none of it.
    from penstock.master.main import serve  # noqa: PLC0415

    try:
        sys.exit(serve(invocation, environ))
    except ConfigError as error:
        _fail(error)


def _check(**given: Any) -> NoReturn:
    context = click.get_current_context()
    words, headers, client = (given.get(name) for name in EXPLAINING)
    if words is None and (headers or client):
        raise click.UsageError("-H and --explain-client say more of what --explain asks", context)
    question = None if words is None else Question(words, headers or (), client)
    try:
        sys.exit(check_invocation(given_invocation(context), question))
    except ConfigError as error:
        _fail(error)


def _schema() -> None:
    click.echo(schema_text())


def _status(control: str | None, as_json: bool, slow: bool) -> NoReturn:
    sys.exit(show_status(control, as_json=as_json, slow=slow))


def _top(control: str | None, once: bool, interval: str) -> NoReturn:
    # Here and not above: no other command draws.
    from penstock.master.cli.top.show import show_top  # noqa: PLC0415

    sys.exit(show_top(control, is_once=once, interval=interval))


def _order_command(verb: str) -> Command:
    """Make the command of a verb."""

    def order(control: str | None, timeout: float | None, **given: int) -> NoReturn:
        sys.exit(give_order(verb, next(iter(given.values()), None), control, timeout))

    argument = VERBS[verb].argument
    parameters: list[click.Parameter] = [
        _control_option(),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0.0, min_open=True),
            metavar="SECONDS",
            help=f"How long to wait for the outcome; default {TIMEOUT_S:g}.",
        ),
    ]
    if argument is not None:
        parameters.append(click.Argument([argument], type=int, metavar=argument.upper()))
    return Command(verb, context_settings=SETTINGS, callback=order, params=parameters, help=VERBS[verb].help)


def _control_option() -> click.Option:
    return click.Option(["--control"], metavar="PATH", envvar="PENSTOCK_CONTROL", help="The control socket.")


def _fail(error: ConfigError) -> NoReturn:
    count = len(error.problems)
    click.echo(str(error), err=True)
    click.echo(f"penstock: {count} {'problem' if count == 1 else 'problems'}; nothing was started", err=True)
    sys.exit(EXIT_USAGE)


def _command(
    callback: Callable[..., Any], *parameters: click.Parameter, cls: type[Command] = Command
) -> Command:
    name = callback.__name__.removeprefix("_")
    return cls(name, context_settings=SETTINGS, callback=callback, params=list(parameters), help=HELP[name])


HELP = {
    "penstock": "Serve APP, or what the configuration file says.",
    "check": "Validate the configuration, import the apps, bind nothing.",
    "schema": "Print the JSON Schema of the configuration file.",
    "status": "Show the processes and listeners of a running server.",
    "top": "Watch a running server in the terminal: workers, rates, latency, slow requests.",
}

VERSION = click.version_option(package.__version__, "--version", "-v", message="%(prog)s %(version)s")

# In a context's `meta`: gunicorn's --check-config stood there.
CHECK = "penstock.check"


# The options of `penstock check` that no other command has.
EXPLAINING = ("explain", "explain_header", "explain_client")


def _explain_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--explain"], metavar="REQUEST", help="Say which route takes a request: 'GET http://host/path'."
        ),
        click.Option(
            ["-H", "explain_header"], metavar="HEADER", multiple=True, help="A header of it: 'Name: value'."
        ),
        click.Option(
            ["--explain-client"],
            metavar="ADDR",
            help="Its client; default 127.0.0.1.",
        ),
    ]


def _check_option() -> click.Option:
    def note(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            context.meta[CHECK] = True

    return click.Option(["--check-config"], is_flag=True, expose_value=False, hidden=True, callback=note)


penstock = VERSION(_command(_penstock, *invocation_parameters(), _check_option(), cls=Penstock))

COMMANDS: dict[str, Command] = {
    "check": VERSION(
        _command(_check, *invocation_parameters(), *_explain_options(), _check_option(), cls=Check)
    ),
    "schema": _command(_schema),
    "status": _command(
        _status,
        _control_option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print what the server answered, as JSON."),
        click.Option(["--slow"], is_flag=True, help="Show the requests that were slow or failed lately."),
    ),
    "top": _command(
        _top,
        _control_option(),
        click.Option(["--once"], is_flag=True, help="Print one frame and end."),
        click.Option(["--interval"], default="1s", metavar="DURATION", help="How often to look; default 1s."),
    ),
    **{verb: _order_command(verb) for verb in VERBS},
}
