"""One set of numbers over all rows, which never falls and never fails."""

from collections.abc import Callable

from penstock.shm import histogram, layout, names
from penstock.shm.row import Kind, Row, State
from penstock.shm.segment import Segment
from penstock.shm.totals import Totals, totals

ClaimWorker = Callable[..., Row]


def value(read: Totals, name: str) -> int:
    """Give the total of the one series of that name."""
    (found,) = (number for series, number in [*read.counters, *read.gauges] if series.name == name)
    return found


def test_counters_are_summed_over_all_rows(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Whichever worker served it."""
    first = segment.series.define_group(names.REQUESTS, "counter", (), "code", names.CODE_CLASSES)
    for slot, row in enumerate([claim_worker(100), claim_worker(101), claim_worker(102)]):
        row.cells[first] = 10 + slot
        row.cells[first + 3] = slot
    assert [(dict(s.labels)["code"], n) for s, n in totals(segment).counters] == [
        ("2xx", 33),
        ("3xx", 0),
        ("4xx", 0),
        ("5xx", 3),
    ]


def test_an_empty_segment_has_zero_totals(segment: Segment) -> None:
    """Scraped before the first worker was forked."""
    segment.series.define("a_total", "counter")
    segment.series.define("b", "gauge")
    segment.series.define("c_seconds", "histogram")
    read = totals(segment)
    assert (value(read, "a_total"), value(read, "b"), read.rows, read.rows_corrupt) == (0, 0, [], 0)
    assert sum(read.histograms[0][1].buckets) == 0


def test_counters_survive_their_owner_and_gauges_do_not(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Through death, release, the next claim and the next adoption."""
    served = segment.series.define("served_total", "counter")
    open_now = segment.series.define("open", "gauge")
    row = claim_worker(100)
    row.cells[served], row.cells[open_now] = 7, 3

    def both() -> tuple[int, int]:
        read = totals(segment)
        return value(read, "served_total"), value(read, "open")

    assert both() == (7, 3)
    row.release()
    assert both() == (7, 0)
    segment.claim(kind=Kind.WORKER, generation=2, slot=0, now_ns=9)
    assert both() == (7, 0)
    row.set_process(101, started=2)
    assert both() == (7, 0)
    segment.adopt(row.index, pid=101, now_ns=10)
    row.cells[served] += 1
    row.cells[open_now] += 1
    assert both() == (8, 1)


def test_histograms_are_summed_over_all_rows(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Bucket by bucket, and a row that never counted adds nothing."""
    first = segment.series.define("a_seconds", "histogram")
    one, other = claim_worker(100), claim_worker(101)
    claim_worker(102)
    for us in (0, 100, 100, 5_000):
        histogram.observe(one.cells, first, us)
    for us in (100, 2**30):
        histogram.observe(other.cells, first, us)

    ((_, total),) = totals(segment).histograms
    assert total.sum_us == 5_300 + 2**30
    expected = [0] * histogram.BUCKET_COUNT
    expected[0] = 1
    expected[histogram.bucket_of(100)] = 3
    expected[histogram.bucket_of(5_000)] = 1
    expected[-1] = 1
    assert list(total.buckets) == expected


def test_durations_of_nothing_are_counted(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Their sum is zero, and yet the histogram is not empty."""
    first = segment.series.define("a_seconds", "histogram")
    histogram.observe(claim_worker(100).cells, first, 0)
    ((_, total),) = totals(segment).histograms
    assert (total.sum_us, sum(total.buckets)) == (0, 1)


def test_a_corrupt_row_loses_its_gauges_and_nothing_else(segment: Segment, claim_worker: ClaimWorker) -> None:
    """The others still tell everything, and the total of counters does not fall."""
    served = segment.series.define("served_total", "counter")
    open_now = segment.series.define("open", "gauge")
    for pid in (100, 101):
        row = claim_worker(pid)
        row.cells[served], row.cells[open_now] = 10, 1
    segment.row(0).master[layout.MASTER_STATE] = 2**63
    read = totals(segment)
    assert (value(read, "served_total"), value(read, "open")) == (20, 1)
    assert read.rows_corrupt == 1
    assert [row.pid for row in read.rows] == [101]


def test_a_row_of_ones_is_survived(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Nothing that a row can hold raises, though the sums are then anybody's guess."""
    segment.series.define("served_total", "counter")
    segment.series.define("open", "gauge")
    segment.series.define("a_seconds", "histogram")
    for pid in (100, 101):
        row = claim_worker(pid)
        for words in (row.master, row.owner, row.cells, row.board, row.samples, row.events):
            for index in range(len(words)):
                words[index] = 2**64 - 1
    read = totals(segment)
    assert read.rows_corrupt == 2
    assert value(read, "open") == 0


def test_an_insane_number_of_rows_is_cut_to_those_there_are(segment: Segment) -> None:
    """The header may be scribbled over as well."""
    segment._header[layout.HEADER_ROWS_CLAIMED] = 2**64 - 1
    assert totals(segment).rows_corrupt == 8


def test_states_are_told_for_each_row(segment: Segment, claim_worker: ClaimWorker) -> None:
    """Free rows too: they are where the counters of the dead are."""
    claim_worker(100).set_state(State.READY)
    claim_worker(101).release()
    assert [row.state.word for row in totals(segment).rows] == ["ready", "free"]
