"""
Click parameters made from the table of options, and what was given of them.

Click only splits the command line here. Values stay text, because the same
walk that types the file types them too.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.core import ParameterSource

from penstock.master.boot_shim import HANDOVER_VARIABLE
from penstock.master.config import Invocation
from penstock.master.config.borrowed import bare_value, translated
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME, OPTIONS
from penstock.master.config.peers import (
    ALIASES,
    EXCUSES,
    OURS,
    REFUSALS,
    Alias,
    Excuse,
    Refusal,
    meaning_of,
    spellings_of,
)
from penstock.master.config.problems import nearest

# In a context's `meta`: what stood in words of other servers that are to be translated.
TRANSLATED = "penstock.translated"


def invocation_parameters() -> list[click.Parameter]:
    """Make the parameters of a command that reads a configuration."""
    parameters: list[click.Parameter] = [_parameter(option) for option in OPTIONS]
    for flag, alias in ALIASES.items():
        if meaning_of(flag) is alias and (alias.value is not None or alias.unit):
            parameters.append(_hidden(flag, _translating(flag, alias), is_flag=alias.value is not None))
    for flag, excuse in EXCUSES.items():
        if meaning_of(flag) is excuse:
            parameters.append(_hidden(flag, _excusing(flag, excuse), is_flag=excuse.is_flag))
    parameters.append(click.Argument(["app"], required=False, metavar="[APP]"))
    return parameters


def given_invocation(context: click.Context) -> Invocation:
    """Take what was given on the command line, and nothing that was not."""
    options: dict[str, tuple[str, ...]] = dict(context.meta.get(TRANSLATED, {}))
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
        if is_value and not (argument.startswith("-") and bare_value(arguments[index - 1]) is not None):
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
    declared = [flags, *option.flags[1:], *spellings_of(option), option.name]
    if option.is_switch:
        return click.Option(declared, is_flag=True, default=False, help=option.help)
    bare: dict[str, Any] = {} if option.bare is None else {"is_flag": False, "flag_value": option.bare}
    return click.Option(
        declared,
        type=str,
        multiple=option.is_repeatable,
        help=option.help,
        metavar=option.metavar,
        **bare,
    )


def _hidden(flag: str, callback: Callable[[str | bool | None], None], *, is_flag: bool) -> click.Option:
    """Make a parameter that is in no help text: an option of another server."""

    def called(_context: click.Context, _parameter: click.Parameter, value: str | bool | None) -> None:
        if value is not None and value is not False:
            callback(value)

    name = "foreign_" + flag.strip("-").replace("-", "_")
    return click.Option(
        [flag, name], hidden=True, expose_value=False, callback=called, is_flag=is_flag, default=None
    )


def _translating(flag: str, alias: Alias) -> Callable[[str | bool | None], None]:
    def translate(value: str | bool | None) -> None:
        texts = (translated(alias, str(value)),)
        click.get_current_context().meta.setdefault(TRANSLATED, {})[OURS[alias.flag].name] = texts

    return translate


def _excusing(flag: str, excuse: Excuse) -> Callable[[str | bool | None], None]:
    def excuse_it(value: str | bool | None) -> None:
        told = excuse.answer(flag, str(value))
        if told and excuse.refused:
            raise click.UsageError(f"{flag} {value}: {excuse.refused}")
        # Once: a hot restart is still the same start to whoever typed it.
        if told and HANDOVER_VARIABLE not in os.environ:
            click.echo(f"penstock: {told}", err=True)

    return excuse_it


def _unknown(flag: str, known: Sequence[str]) -> str:
    meaning = meaning_of(flag)
    if isinstance(meaning, Refusal):
        return meaning.answer(flag)
    hint = nearest(flag, [*known, *REFUSALS, *EXCUSES])
    return f"there is no option {flag}" + (f"; {hint}" if hint else "")
