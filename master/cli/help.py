"""The page that `penstock --help` prints: what it does, how, and every option in its group."""

import click

from penstock.master.config.option import Option
from penstock.master.config.options import OPTIONS
from penstock.master.verbs import VERBS

COMMANDS = (
    ("[OPTIONS] [APP]", "Run APP, module:attribute; without one, a welcome service."),
    ("-c FILE", "Run from a configuration file."),
    ("check [-c FILE] [APP]", "Validate the configuration, import the apps, bind nothing."),
    ("schema", "Print the JSON Schema of the configuration file."),
    ("status [--json]", "Show the processes and listeners of a running server."),
    ("top [--once]", "Watch a running server: workers, rates, latency, slow requests."),
    *(
        (f"{verb} {each.argument.upper()}" if each.argument else verb, each.help)
        for verb, each in VERBS.items()
    ),
)


def write_help(formatter: click.HelpFormatter) -> None:
    """Write the whole page."""
    formatter.write_usage("penstock", "[OPTIONS] [APP] | COMMAND")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(
            "Serve a Python web application: one worker per core, no request lost on a restart."
        )
    with formatter.section("Commands"):
        formatter.write_dl([(f"penstock {words}", told) for words, told in COMMANDS])
    write_options(formatter)
    formatter.write_paragraph()
    formatter.write_text(
        "Every option has a variable: --workers is also PENSTOCK_WORKERS. WEB_CONCURRENCY and PORT are "
        "honoured, and so are UVICORN_*, GRANIAN_* and GUNICORN_CMD_ARGS. The command line wins over "
        "PENSTOCK_*, these over other variables, and those over the file. The spellings of uvicorn, gunicorn "
        "and granian are taken too."
    )


def write_options(formatter: click.HelpFormatter) -> None:
    """Write every option in its group."""
    groups: dict[str, list[Option]] = {}
    for option in OPTIONS:
        groups.setdefault(option.group, []).append(option)
    for group, options in groups.items():
        with formatter.section(group):
            formatter.write_dl([(_flags(option), option.help) for option in options])
    with formatter.section("Other"):
        formatter.write_dl(
            [
                ("--check-config", "Do what `penstock check` does."),
                ("--version, -v", "Print the version."),
                ("--help, -h", "Print this page."),
            ]
        )


def _flags(option: Option) -> str:
    # Other servers' spellings are in docs/configuration.md.
    short = (flag for flag in option.flags[1:] if not flag.startswith("--"))
    flags = ", ".join((option.flags[0], *short, *option.off))
    return flags if option.is_switch else f"{flags} {option.metavar}"
