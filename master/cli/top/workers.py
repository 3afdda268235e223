"""The table of workers."""

from typing import Final

from penstock.master.cli.top.cells import number, state
from penstock.master.cli.top.figures import age, compact, count, percent, size, span
from penstock.master.cli.top.line import Line, Piece, Style
from penstock.master.cli.top.options import Options
from penstock.master.cli.top.rates import Rates, WorkerRates
from penstock.master.cli.top.reading import Quantiles, Reading, Worker
from penstock.master.cli.top.table import Column, table

# A loop that is late by so much is felt by every client of the worker; by so much, it is blocked.
LAG_WARNING_S, LAG_BAD_S = 0.1, 1.0

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
                Piece(number(each.slot)),
                Piece(number(each.pid)),
                Piece(number(each.core)),
                state(each.state),
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
