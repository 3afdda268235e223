"""
`loadtest/compare`: the same work for every server that is here, in alternation.

Rounds go through all servers before the next begins, because whatever else the
machine does moves all of them together: only ratios within one run mean anything.
"""

import contextlib
import dataclasses
import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import psutil

from bench.commands import Work, nginx
from bench.failure import LoadFailed
from bench.idle import allow_descriptors
from bench.machine import facts, program, usable_cores
from bench.peers import PEERS, Peer, Place
from bench.report import render
from bench.result import Cell, Comparison, Table
from bench.scenario import Scenario, Trial, all_scenarios
from bench.server import Server, ServerFailed, free_port, running, shown
from bench.tables import as_text

LOADTEST = Path(__file__).resolve().parents[1]
ROUNDS = 5
# Every scenario with every server takes a little less than 25 minutes so.
SECONDS = 2.0
# Servers set limits of their own by this one, so all scenarios give them the same.
CONNECTIONS = 12_000

# What a server that is measured may fail with, and the others go on.
FAILURES = (ServerFailed, LoadFailed, OSError, psutil.Error)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    scenarios: Sequence[Scenario]
    peers: Sequence[Peer]
    rounds: int
    seconds: float
    server_cores: Sequence[int]
    load_core: int

    @property
    def pinning(self) -> str:
        """Say who runs where."""
        (core,) = self.server_cores
        if core == self.load_core:
            return f"servers and load share core {core}, so no figure here is one to quote"
        return f"servers on core {core}, load on core {self.load_core}"


def run(
    options: Options, command: str, keep: Callable[[Comparison], None] = lambda comparison: None
) -> Comparison:
    """
    Run everything; a server that fails is told of, and the others go on.

    `keep` gets what there is after each scenario: the next one may be interrupted.
    """
    now = datetime.datetime.now(datetime.UTC)
    machine = {**facts(), "pinned": options.pinning}
    comparison = Comparison(now.isoformat(timespec="seconds"), command, options.rounds, machine)
    here = [peer for peer in options.peers if peer.is_installed]
    for peer in options.peers:
        if peer not in here:
            comparison.absent[peer.name] = peer.install
            say(f"{peer.name} is not here; install it by `{peer.install}`")
    for scenario in options.scenarios:
        comparison.tables.append(compare(scenario, here, options))
        keep(comparison)
    return comparison


def compare(scenario: Scenario, peers: Sequence[Peer], options: Options) -> Table:
    """Run all rounds of one scenario."""
    absent = {peer.name: reason for peer in peers if (reason := absence(scenario, peer)) is not None}
    for name, reason in absent.items():
        say(f"{scenario.name}: without {name}: {reason}")
    table = Table(scenario.name, scenario.title, scenario.story + told_absent(absent), scenario.metrics)
    cells = [(peer, Cell(peer.name, peer.described, "")) for peer in peers if peer.name not in absent]
    rounds = min(options.rounds, scenario.rounds_max or options.rounds)
    for number in range(1, rounds + 1):
        for peer, cell in cells:
            say(f"{scenario.name}: round {number} of {rounds}: {peer.name}")
            try:
                measure_once(scenario, peer, cell, table, options)
            except FAILURES as error:
                cell.problems.append(f"round {number}: {error}")
                say(f"{scenario.name}: {peer.name} failed: {error}")
    table.cells = [cell for _, cell in cells]
    print(as_text(table), flush=True)
    return table


def absence(scenario: Scenario, peer: Peer) -> str | None:
    """Say why a server takes no part in a scenario; None if it does."""
    if scenario.needs_reload and peer.reload is None:
        return "no reload"
    with tempfile.TemporaryDirectory() as folder:
        place = Place(port=0, folder=Path(folder))
        return "cannot serve this" if peer.words(scenario.work, place) is None else None


def told_absent(absent: Mapping[str, str]) -> str:
    """Write a paragraph for the reader who misses a server."""
    if not absent:
        return ""
    reasons = dict.fromkeys(absent.values())
    told = (
        f"{', '.join(name for name in absent if absent[name] == reason)} ({reason})" for reason in reasons
    )
    return f"\n\nWithout {'; '.join(told)}."


def measure_once(scenario: Scenario, peer: Peer, cell: Cell, table: Table, options: Options) -> None:
    """Start one server, measure it, end it, and keep what was found. Raises one of FAILURES."""
    if scenario.connections:
        allow_descriptors(scenario.connections)
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-compare-"))
        origin = opened.enter_context(origin_of(scenario.work, options.load_core))
        place = Place(port=free_port(), folder=Path(folder), origin_port=0 if origin is None else origin.port)
        words = peer.words(scenario.work, place)
        assert words is not None
        with running(
            words, place.port, cores=options.server_cores, cwd=LOADTEST, ready_path=scenario.ready_path
        ) as server:
            # The same for all rounds, whatever port and folder each of them had.
            cell.command = shown(
                [word.replace(folder, "FOLDER").replace(str(place.port), "PORT") for word in server.words]
            )
            trial = Trial(
                server=server,
                origin=origin,
                server_cores=options.server_cores,
                peer=peer,
                work=scenario.work,
                core=options.load_core,
                seconds=options.seconds,
                commands=table.load_commands,
            )
            try:
                cell.samples.append(scenario.measure(trial))
            except (LoadFailed, OSError, psutil.Error):
                server.check()  # If it has died, its last words say more.
                raise


@contextlib.contextmanager
def origin_of(work: Work, core: int) -> Iterator[Server | None]:
    """Run the nginx that requests are to be passed on to, on the load's core, if there is to be one."""
    if work.origin is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bench-origin-") as folder:
        place = Place(port=free_port(), folder=Path(folder))
        words = nginx(work.origin, place)
        assert words is not None, "the origin has a fixed answer or a file"
        path = program(words[0])
        if path is None:
            raise ServerFailed("there is no nginx to pass requests on to: apt-get install nginx-light")
        with running([path, *words[1:]], place.port, cores=(core,)) as server:
            yield server


def say(line: str) -> None:
    """Tell how it goes, beside the results."""
    print(line, file=sys.stderr, flush=True)


def write(comparison: Comparison, folder: Path) -> None:
    """Write both files."""
    (folder / "comparison.json").write_text(json.dumps(comparison.as_dict(), indent=1) + "\n")
    (folder / "report.html").write_text(render(comparison))


def read(path: Path) -> Comparison:
    """Read what `write` has written. Raises click.ClickException."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Comparison)
    except (OSError, msgspec.MsgspecError) as error:
        raise click.ClickException(f"{path} is no comparison.json: {error}") from error


def chosen(names: Sequence[str], known: dict[str, Any], what: str) -> list[Any]:
    """Pick by name, all when none is named. Raises click.UsageError that lists the names."""
    for name in names:
        if name not in known:
            raise click.UsageError(f"no {what} {name!r}: there are {', '.join(known)}")
    return [value for name, value in known.items() if name in names or not names]


def with_those_always_in(peers: Sequence[Peer]) -> list[Peer]:
    """Add Penstock and its floors: without them, ratios mean nothing on another machine."""
    return [peer for peer in PEERS if peer in peers or peer.is_always_in]


def show_list(scenarios: Mapping[str, Scenario]) -> None:
    """Print what can be named."""
    for name, scenario in scenarios.items():
        print(f"{name:13} {scenario.title}")
    for peer in PEERS:
        print(f"{peer.name:13} {peer.described if peer.is_installed else f'not here: {peer.install}'}")


@click.command(context_settings={"help_option_names": ["--help", "-h"]})
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option(
    "--servers", default="", metavar="A,B,...", help="These, Penstock and its floors. Default: all."
)
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=SECONDS, show_default=True, type=click.FloatRange(0.5, 600))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.html and comparison.json.")
@click.option("--quick", is_flag=True, help="One round of a second: does it work? No figures to quote.")
@click.option("--share-core", is_flag=True, help="Go on where server and load have to share one core.")
@click.option("--list", "is_list", is_flag=True, help="List scenarios and servers.")
@click.option(
    "--render", "again", type=click.Path(path_type=Path), help="Only write a comparison.json's report."
)
def main(  # noqa: PLR0917, click passes them by name
    scenarios: tuple[str, ...],
    servers: str,
    rounds: int,
    seconds: float,
    out: Path | None,
    quick: bool,
    share_core: bool,
    is_list: bool,
    again: Path | None,
) -> None:
    """
    Run the same work against Penstock, its floors and the other servers that are installed.

    Servers run pinned to the first core, the load to the last; rounds alternate between servers.
    Prints medians and spread, writes report.html and comparison.json.
    """
    known = all_scenarios()
    if is_list:
        show_list(known)
        return
    if again is not None:
        comparison = read(again)
        folder = made(out or again.parent)
        (folder / "report.html").write_text(render(comparison))
        say(f"wrote {folder}/report.html")
        return
    named = [name for name in servers.split(",") if name]
    cores = usable_cores()
    if len(cores) < 2 and not share_core:
        raise click.UsageError("two cores are needed, one to serve and one to load; or take --share-core")
    options = Options(
        scenarios=chosen(scenarios, known, "scenario"),
        peers=with_those_always_in(chosen(named, {peer.name: peer for peer in PEERS}, "server")),
        rounds=1 if quick else rounds,
        seconds=1.0 if quick else seconds,
        server_cores=cores[:1],
        load_core=cores[-1],
    )
    if len(cores) < 2:
        say(options.pinning)
    folder = made(
        out or LOADTEST / "results" / f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-compare"
    )
    with contextlib.suppress(ServerFailed):  # A scenario that needs them says so itself.
        allow_descriptors(CONNECTIONS)
    command = shlex.join(["loadtest/compare", *sys.argv[1:]])
    run(options, command, keep=lambda comparison: write(comparison, folder))
    say(f"wrote {folder}/report.html and comparison.json")


def made(folder: Path) -> Path:
    """Make a folder. Raises click.ClickException."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    return folder
