"""
The parts of a frame: each makes the lines of one, as wide as they may be.

Whatever a colour says here, a word or a number says too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from penstock.master.cli.report import duration
from penstock.master.cli.top.figures import age, compact, count, percent, size, span
from penstock.master.cli.top.line import Line, Piece, Style, fitted
from penstock.master.cli.top.options import Options
from penstock.master.cli.top.rates import Rates, WorkerRates
from penstock.master.cli.top.reading import Listener, Quantiles, Reading, Request, Worker
from penstock.master.cli.top.table import Column, Row, table
from penstock.master.cli.top.text import harmless_path

STYLES: Final = {
    "running": Style.GOOD,
    "ready": Style.GOOD,
    "healthy": Style.GOOD,
    "starting": Style.WARNING,
    "rolling": Style.WARNING,
    "upgrading": Style.WARNING,
    "draining": Style.WARNING,
    "suspect": Style.BAD,
    "unhealthy": Style.BAD,
}

# A loop that is late by so much is felt by every client of the worker; by so much, it is blocked.
LAG_WARNING_S, LAG_BAD_S = 0.1, 1.0
# A request in flight for so long is worth a look.
REQUEST_WARNING_S: Final = 1.0


# The head.


def head(reading: Reading, rates: Rates, width: int) -> list[Line]:
    """Say which server it is and how it does, in two lines."""
    named = " ".join(filter(None, ("penstock", reading.name, reading.version)))
    up_s = None if reading.started_at is None else max(0.0, reading.wall_s - reading.started_at)
    first = (
        (0, (Piece(named, Style.STRONG),)),
        (0, (_state(reading.state),)),
        (1, (Piece(f"generation {count(reading.generation)}"),)),
        (2, (Piece(f"up {duration(up_s)}"),)),
        (3, (Piece(f"pid {_number(reading.pid)}"),)),
    )
    latency = reading.latency
    errors = Style.BAD if rates.errors_s else Style.PLAIN
    second = (
        (0, _figure(compact(rates.requests_s), " req/s")),
        (1, _figure(compact(rates.errors_s), " err/s", errors)),
        (3, _figure(size(rates.sent_bytes_s), "/s")),
        (4, _figure(span(latency.p50_s), "", before="p50 ")),
        (2, _figure(span(latency.p99_s), "", before="p99 ")),
        (5, _connections(reading.workers)),
    )
    return [_in_a_row(first, width), _in_a_row(second, width)]


def notices(reading: Reading) -> list[Line]:
    """Say what is not as it should be, or under way."""
    found = [
        (
            Style.BAD,
            f"crash loop: slot {_number(each.slot)}, {count(each.failures)} failures, tried again "
            + ("now" if each.next_attempt_s is None else f"in {age(each.next_attempt_s)}")
            + (f": {each.reason}" if each.reason else ""),
        )
        for each in reading.crash_loops
    ]
    if reading.failure:
        ago = "" if reading.failed_at is None else f" {duration(reading.wall_s - reading.failed_at)} ago"
        found.append(
            (Style.BAD, f"last failure{ago}: {next(iter(reading.failure.strip().splitlines()), '')}")
        )
    if reading.under_way:
        found.append((Style.WARNING, f"under way: {', '.join(reading.under_way)}"))
    return [(Piece(text, style),) for style, text in found]


def _state(word: str) -> Piece:
    return Piece(word or "-", STYLES.get(word, Style.PLAIN))


def _figure(text: str, unit: str, style: Style = Style.PLAIN, *, before: str = "") -> tuple[Piece, ...]:
    # As wide with any number, so that what comes after stays where it is.
    told = text.rjust(5)
    strong = Style.STRONG if style is Style.PLAIN else style
    return (Piece(before, Style.FAINT), Piece(told, strong), Piece(unit, Style.FAINT))


def _connections(workers: Sequence[Worker]) -> tuple[Piece, ...]:
    active = _sum(each.active for each in workers)
    idle = _sum(each.idle for each in workers)
    if active is None and idle is None:
        return _figure(count(_sum(each.connections for each in workers)), " connections")
    return (*_figure(count(active), " active"), Piece(" "), *_figure(count(idle), " idle"))


def _in_a_row(items: Iterable[tuple[int, tuple[Piece, ...]]], width: int) -> Line:
    """Put groups of pieces beside one another, without those of the highest ranks that have no room."""
    kept = list(items)

    def taken() -> int:
        return sum(len(piece.text) for _, pieces in kept for piece in pieces) + 2 * (len(kept) - 1)

    while len(kept) > 1 and taken() > width:
        highest = max(kept, key=lambda each: each[0])
        if highest[0] == 0:
            break
        kept.remove(highest)
    line: list[Piece] = []
    for index, (_, pieces) in enumerate(kept):
        line += [Piece("  "), *pieces] if index else pieces
    return fitted(line, width)


# The workers.

WORKER_COLUMNS: Final = (
    Column("SLOT", 4),
    Column("PID", 7, rank=3),
    Column("CORE", 4, rank=9),
    Column("STATE", 8, is_left=True),
    Column("GEN", 3, rank=7),
    Column("CPU%", 4, rank=1),
    Column("RSS", 4, rank=4),
    Column("ACTV", 4, rank=5),
    Column("IDLE", 4, rank=6),
    Column("REQ/S", 5),
    Column("P50", 5, rank=8),
    Column("P99", 5, rank=2),
    Column("LAG", 5, rank=2),
    Column("AGE", 5, rank=10),
)
# Without a word from the server on which of them are active.
PLAIN_CONNECTIONS: Final = Column("CONN", 4, rank=5)


def workers(reading: Reading, rates: Rates, options: Options, width: int) -> list[Line]:
    """Give a heading and a line for each worker."""
    are_told_apart = any(each.active is not None or each.idle is not None for each in reading.workers)
    columns = list(WORKER_COLUMNS)
    if not are_told_apart:
        columns[7:9] = [PLAIN_CONNECTIONS]
    rows = []
    for each in _sorted(reading, rates, options.sort):
        quantiles = _quantiles(reading, each)
        own = _rates(rates, each)
        lag = each.lag_s or 0.0
        late = Style.BAD if lag > LAG_BAD_S else Style.WARNING if lag > LAG_WARNING_S else Style.PLAIN
        apart = [Piece(count(each.active)), Piece(count(each.idle))]
        rows.append(
            [
                Piece(_number(each.slot)),
                Piece(_number(each.pid)),
                Piece(_number(each.core)),
                _state(each.state),
                Piece(count(each.generation)),
                Piece(percent(own.cpu)),
                Piece(size(each.rss_bytes)),
                *(apart if are_told_apart else [Piece(count(each.connections))]),
                Piece(compact(own.requests_s)),
                Piece(span(quantiles.p50_s)),
                Piece(span(quantiles.p99_s)),
                Piece(span(each.lag_s), late),
                Piece(age(each.age_s)),
            ]
        )
    return table(columns, rows, width)


def _sorted(reading: Reading, rates: Rates, sort: str) -> list[Worker]:
    """Sort by slot, or by something else with the largest first."""
    by_slot = sorted(reading.workers, key=lambda each: (each.slot or 0, each.generation or 0, each.pid or 0))

    def value(worker: Worker) -> float:
        known = {
            "cpu": _rates(rates, worker).cpu,
            "req/s": _rates(rates, worker).requests_s,
            "p99": _quantiles(reading, worker).p99_s,
            "rss": worker.rss_bytes,
            "conns": worker.connections,
            "lag": worker.lag_s,
        }.get(sort, 0.0)
        return -1.0 if known is None else known

    return sorted(by_slot, key=value, reverse=True)


def _rates(rates: Rates, worker: Worker) -> WorkerRates:
    return WorkerRates() if worker.pid is None else rates.workers.get(worker.pid, WorkerRates())


def _quantiles(reading: Reading, worker: Worker) -> Quantiles:
    return Quantiles() if worker.slot is None else reading.latency_by_slot.get(worker.slot, Quantiles())


# The listeners.

LISTENER_COLUMNS: Final = (
    Column("LISTENER", 8, is_left=True),
    Column("ADDRESS", 14, rank=2, is_left=True),
    Column("SHARDS", 6, rank=3),
    Column("QUEUED", 6, rank=1),
    Column("HELD BY", 20, rank=0, is_left=True, takes_rest=True),
)


# A suspect has lent its share away, for as long as it is one.
STEADY: Final = frozenset({"ready", "suspect"})


def listeners(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each listener; who holds which shard, where that says something."""
    steady = {each.slot for each in reading.workers if each.state in STEADY and each.slot is not None}
    rows: list[Row] = []
    for each in reading.listeners:
        queued = sum(shard.queued for shard in each.shards)
        rows.append(
            [
                Piece(each.name or "-"),
                Piece(each.address or "-"),
                Piece(count(len(each.shards))),
                Piece(count(queued), Style.WARNING if queued else Style.PLAIN),
                Piece(holders(each, steady)),
            ]
        )
    return table(LISTENER_COLUMNS, rows, width)


def holders(listener: Listener, steady: set[int]) -> str:
    """
    Say who holds the shards: how many each slot has, and which, if some wait or are lent away.

    `steady` are the slots that have a share when nothing is wrong.
    """
    held: dict[int, list[int]] = defaultdict(list)
    for position, shard in enumerate(listener.shards):
        held[-1 if shard.slot is None else shard.slot].append(position)
    if set(held) == {-1} and len(listener.shards) == 1:
        return "all slots" + _waiting(listener, [0])
    counts = {len(positions) for positions in held.values()}
    is_spread = -1 not in held and steady <= set(held) and counts and max(counts) - min(counts) <= 1
    if is_spread and not any(shard.queued for shard in listener.shards):
        if len(held) == 1:
            return f"all by slot {next(iter(held))}"
        return f"{counts.pop()} each" if len(counts) == 1 else f"{min(counts)} or {max(counts)} each"
    missing = dict.fromkeys(sorted(steady - set(held)), "none")
    told = {
        slot: _ranges([listener.shards[each].index or each for each in positions])
        + _waiting(listener, positions)
        for slot, positions in held.items()
    } | missing
    return "  ".join(f"{'?' if slot < 0 else slot}: {text}" for slot, text in sorted(told.items())) or "-"


def _waiting(listener: Listener, positions: Sequence[int]) -> str:
    queued = sum(listener.shards[each].queued for each in positions)
    return f" ({count(queued)} queued)" if queued else ""


def _ranges(numbers: Sequence[int]) -> str:
    """
    Write numbers with neighbours put together.

    >>> _ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ",".join("-".join(map(str, each)) for each in spans)


# The upstreams.

UPSTREAM_COLUMNS: Final = (
    Column("UPSTREAM", 10, is_left=True),
    Column("SERVER", 16, rank=0, is_left=True, takes_rest=True),
    Column("STATE", 9, rank=1, is_left=True),
    Column("ACTV", 5, rank=2),
    Column("IDLE", 5, rank=4),
    Column("QUEUED", 6, rank=3),
)


def upstreams(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each server of each upstream."""
    rows: list[Row] = [
        [
            Piece(each.upstream or "-"),
            Piece(each.address or "-"),
            _state(each.state),
            Piece(count(each.active)),
            Piece(count(each.idle)),
            Piece(count(each.queued), Style.WARNING if each.queued else Style.PLAIN),
        ]
        for each in reading.backends
    ]
    return table(UPSTREAM_COLUMNS, rows, width)


# The requests.

REQUEST_COLUMNS: Final = (
    Column("AGE", 5),
    Column("SLOT", 4, rank=2),
    Column("STATE", 9, rank=3, is_left=True, width_max=16),
    Column("SENT", 5, rank=4),
    Column("METHOD", 7, rank=1, is_left=True, width_max=8),
    Column("SLOWEST REQUESTS IN FLIGHT", 20, rank=0, is_left=True, takes_rest=True),
)


def requests(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each request in flight, the oldest first; or say that there are none."""
    if not reading.requests:
        why = "-" if reading.requests is None else "none"
        return [fitted([Piece(f"requests in flight: {why}", Style.FAINT)], width)]
    oldest_first = sorted(reading.requests, key=lambda each: -(each.age_s or 0.0))
    return table(REQUEST_COLUMNS, [_request(each) for each in oldest_first], width)


def _request(request: Request) -> Row:
    is_slow = (request.age_s or 0.0) >= REQUEST_WARNING_S
    # Those who ask over TCP are not told the path, and the route says something too.
    what = request.path if request.path is not None else request.route and f"route {request.route}"
    return [
        Piece(span(request.age_s), Style.WARNING if is_slow else Style.PLAIN),
        Piece(_number(request.slot)),
        Piece(request.state or "-"),
        Piece(size(request.sent_bytes)),
        Piece(request.method or "-"),
        Piece(harmless_path(what or "-")),
    ]


def _number(number: int | None) -> str:
    """Write a number that names something, and so is never rounded."""
    return "-" if number is None else str(number)


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None
