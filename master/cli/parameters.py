"""
Click parameters made from the table of options, and what was given of them.

Click only splits the command line here. Values stay text, because the same
walk that types the file types them too.
"""

from collections.abc import Sequence

import click
from click.core import ParameterSource

from penstock.master.cli.foreign import IDLE_OPTIONS, INSTEAD, LATER_OPTIONS
from penstock.master.config import Invocation
from penstock.master.config.options import BY_NAME, OPTIONS, Option
from penstock.master.config.problems import nearest


def invocation_parameters() -> list[click.Parameter]:
    """Make the parameters of a command that reads a configuration."""
    parameters: list[click.Parameter] = [_parameter(option) for option in OPTIONS]
    for flags, _ in IDLE_OPTIONS:
        parameters.append(
            click.Option([*flags, _idle(flags[0])], hidden=True, expose_value=False, callback=_warn_idle)
        )
    parameters.append(click.Argument(["app"], required=False, metavar="[APP]"))
    return parameters


def given_invocation(context: click.Context) -> Invocation:
    """Take what was given on the command line, and nothing that was not."""
    options: dict[str, tuple[str, ...]] = {}
    for name, value in context.params.items():
        if name not in BY_NAME or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(value, bool):
            options[name] = ("true" if value else "false",)
        else:
            options[name] = (value,) if isinstance(value, str) else tuple(value)
    return Invocation(options, context.params.get("app"))


class Command(click.Command):
    """A command that names the nearest option for an unknown one, and says what is not built yet."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with our words for an unknown option."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [
                flag
                for each in self.params
                if isinstance(each, click.Option) and not each.hidden
                for flag in (*each.opts, *each.secondary_opts)
            ]
            raise click.UsageError(_unknown(error.option_name, known), ctx) from None


def first_word(arguments: Sequence[str], parameters: Sequence[click.Parameter]) -> int | None:
    """Find the first argument that is no option and no option's value."""
    takes_value = {
        flag
        for each in parameters
        if isinstance(each, click.Option) and not each.is_flag
        for flag in each.opts
    }
    is_value = False
    for index, argument in enumerate(arguments):
        if is_value:
            is_value = False
        elif argument == "--":
            return None  # After it a word is an APP, whatever it is called.
        elif argument.startswith("-") and argument != "-":
            is_value = argument in takes_value
        else:
            return index
    return None


def _parameter(option: Option) -> click.Option:
    flags = "/".join((option.flags[0], *option.off)) if option.off else option.flags[0]
    declared = [flags, *option.flags[1:], option.name]
    if option.is_switch:
        return click.Option(declared, is_flag=True, default=False, help=option.help)
    return click.Option(
        declared, type=str, multiple=option.is_repeatable, help=option.help, metavar=option.metavar
    )


def _idle(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _warn_idle(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    natural = next(values for flags, values in IDLE_OPTIONS if flags[0] in parameter.opts)
    if value is not None and value not in natural:
        click.echo(f"penstock: {parameter.opts[0]} {value} has no meaning here and is ignored", err=True)


def _unknown(flag: str, known: Sequence[str]) -> str:
    if flag in LATER_OPTIONS:
        return f"{flag} is not supported yet"
    if flag in INSTEAD:
        return f"there is no option {flag}: {INSTEAD[flag]}"
    hint = nearest(flag, known)
    return f"there is no option {flag}" + (f"; {hint}" if hint else "")
