"""
`loadtest/compare`: the same work for every server that is here, in alternation.

Rounds go through all servers before the next begins, because whatever else the
machine does moves all of them together: only ratios within one run mean anything.
"""

import dataclasses
import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.failure import LoadFailed
from bench.idle import allow_descriptors
from bench.machine import facts, usable_cores
from bench.peers import PEERS, Peer, Place
from bench.report import render
from bench.result import Cell, Comparison, Table
from bench.scenario import Scenario, Trial, all_scenarios
from bench.server import ServerFailed, free_port, running
from bench.tables import as_text

LOADTEST = Path(__file__).resolve().parents[1]
ROUNDS = 5
SECONDS = 3.0
DESCRIPTORS = 12_000


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    scenarios: Sequence[Scenario]
    peers: Sequence[Peer]
    rounds: int
    seconds: float
    server_cores: Sequence[int]
    load_core: int


def run(options: Options, command: str) -> Comparison:
    """Run everything; a server that fails is told of, and the others go on."""
    now = datetime.datetime.now(datetime.UTC)
    comparison = Comparison(now.isoformat(timespec="seconds"), command, options.rounds, facts())
    here = [peer for peer in options.peers if peer.is_installed]
    for peer in options.peers:
        if peer not in here:
            comparison.absent[peer.name] = peer.install
            say(f"{peer.name} is not here; install it by `{peer.install}`")
    for scenario in options.scenarios:
        comparison.tables.append(compare(scenario, here, options))
    return comparison


def compare(scenario: Scenario, peers: Sequence[Peer], options: Options) -> Table:
    """Run all rounds of one scenario."""
    table = Table(scenario.name, scenario.title, scenario.story, scenario.metrics)
    cells: list[tuple[Peer, Cell]] = []
    for peer in peers:
        if (reason := absence(scenario, peer)) is None:
            cells.append((peer, Cell(peer.name, peer.version(), "")))
        else:
            say(f"{scenario.name}: without {peer.name}: {reason}")
    rounds = min(options.rounds, scenario.rounds_max or options.rounds)
    for number in range(1, rounds + 1):
        for peer, cell in cells:
            say(f"{scenario.name}: round {number} of {rounds}: {peer.name}")
            try:
                measure_once(scenario, peer, cell, table, options)
            except (ServerFailed, LoadFailed, OSError) as error:
                cell.problems.append(f"round {number}: {error}")
                say(f"{scenario.name}: {peer.name} failed: {error}")
    table.cells = [cell for _, cell in cells]
    print(as_text(table), flush=True)
    return table


def absence(scenario: Scenario, peer: Peer) -> str | None:
    """Say why a server takes no part in a scenario; None if it does."""
    if scenario.needs_reload and peer.reload is None:
        return "it has no reload"
    with tempfile.TemporaryDirectory() as folder:
        place = Place(port=0, folder=Path(folder))
        return "it cannot serve this" if peer.command(scenario.work, place) is None else None


def measure_once(scenario: Scenario, peer: Peer, cell: Cell, table: Table, options: Options) -> None:
    """Start one server, measure it, end it, and keep what was found."""
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
        place = Place(port=free_port(), folder=Path(folder))
        words = peer.words(scenario.work, place)
        assert words is not None
        with running(
            words, place.port, cores=options.server_cores, cwd=LOADTEST, ready_path=scenario.ready_path
        ) as server:
            shown = server.command.replace(str(place.port), "PORT").replace(folder, "FOLDER")
            cell.command = shown
            cell.samples.append(
                scenario.measure(
                    Trial(
                        server=server,
                        peer=peer,
                        work=scenario.work,
                        core=options.load_core,
                        seconds=options.seconds,
                        commands=table.load_commands,
                    )
                )
            )


def say(line: str) -> None:
    """Tell how it goes, beside the results."""
    print(line, file=sys.stderr, flush=True)


def chosen(names: Sequence[str], known: dict[str, Any], what: str) -> list[Any]:
    """Pick by name, all when none is named. Raises click.UsageError that lists the names."""
    for name in names:
        if name not in known:
            raise click.UsageError(f"no {what} {name!r}: there are {', '.join(known)}")
    return [value for name, value in known.items() if name in names or not names]


def always_with_floor(peers: Sequence[Peer]) -> list[Peer]:
    """Add the floor servers: without them, ratios mean nothing on another machine."""
    return [peer for peer in PEERS if peer in peers or peer.is_floor]


@click.command(context_settings={"help_option_names": ["--help", "-h"]})
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--servers", default="", metavar="A,B,...", help="Only these, and the floors. Default: all.")
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=SECONDS, show_default=True, type=click.FloatRange(0.5, 600))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.html and comparison.json.")
@click.option("--quick", is_flag=True, help="One round of a second: does it work? No figures to quote.")
@click.option("--share-core", is_flag=True, help="Go on where server and load have to share one core.")
@click.option("--list", "is_list", is_flag=True, help="List scenarios and servers.")
def main(  # noqa: PLR0917, click passes them by name
    scenarios: tuple[str, ...],
    servers: str,
    rounds: int,
    seconds: float,
    out: Path | None,
    quick: bool,
    share_core: bool,
    is_list: bool,
) -> None:
    """
    Run the same work against Penstock, its floor and the other servers that are installed.

    Servers run pinned to the first core, the load to the last; rounds alternate between servers.
    Prints medians and spread, writes report.html and comparison.json.
    """
    known = all_scenarios()
    peers = {peer.name: peer for peer in PEERS}
    if is_list:
        for name, scenario in known.items():
            print(f"{name:10} {scenario.title}")
        for peer in PEERS:
            print(f"{peer.name:10} {peer.version() if peer.is_installed else f'not here: {peer.install}'}")
        return
    named = [name for name in servers.split(",") if name]
    cores = usable_cores()
    if len(cores) < 2 and not share_core:
        raise click.UsageError("two cores are needed, one to serve and one to load; or take --share-core")
    options = Options(
        scenarios=chosen(scenarios, known, "scenario"),
        peers=always_with_floor(chosen(named, peers, "server")),
        rounds=1 if quick else rounds,
        seconds=1.0 if quick else seconds,
        server_cores=cores[:1],
        load_core=cores[-1],
    )
    folder = out or LOADTEST / "results" / f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-compare"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        allow_descriptors(DESCRIPTORS)
    except (OSError, ServerFailed) as error:
        raise click.ClickException(str(error)) from error
    comparison = run(options, shlex.join(["loadtest/compare", *sys.argv[1:]]))
    (folder / "comparison.json").write_text(json.dumps(comparison.as_dict(), indent=1) + "\n")
    (folder / "report.html").write_text(render(comparison))
    say(f"wrote {folder}/report.html and comparison.json")
