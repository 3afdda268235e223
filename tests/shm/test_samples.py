"""Samples come back with who took them and when."""

from penstock.shm.row import Kind
from penstock.shm.samples import SampleWriter, read_samples
from penstock.shm.segment import Segment


def test_samples_come_back_as_they_were_pushed(segment: Segment) -> None:
    """With the slot and the generation of the worker that took them."""
    row = segment.claim(kind=Kind.WORKER, generation=6, slot=2, core=0, now_ns=1)
    SampleWriter(row).push(
        time_ns=1_700_000_000_000_000_000,
        requests=2**50,
        errors=3,
        sent_bytes=2**60,
        connections=70_000,
        loop_lag_us=1_500,
    )
    (sample,) = read_samples(row)
    assert (sample.time_ns, sample.requests, sample.errors) == (1_700_000_000_000_000_000, 2**50, 3)
    assert (sample.sent_bytes, sample.connections, sample.loop_lag_us) == (2**60, 70_000, 1_500)
    assert (sample.slot, sample.generation, sample.claim) == (2, 6, 1)


def test_numbers_too_large_for_half_a_word_are_cut_to_its_limit(segment: Segment) -> None:
    """They must not run over into the number beside them."""
    row = segment.claim(kind=Kind.ADMIN, generation=1, now_ns=1)
    SampleWriter(row).push(
        time_ns=1, requests=0, errors=0, sent_bytes=0, connections=2**40, loop_lag_us=2**40
    )
    (sample,) = read_samples(row)
    assert (sample.connections, sample.loop_lag_us) == (2**32 - 1, 2**32 - 1)
    assert (sample.slot, sample.generation, sample.claim) == (None, 1, 1)


def test_only_samples_from_the_given_number_on_are_read(segment: Segment) -> None:
    """A reader that asks again gets what it has not seen."""
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    writer = SampleWriter(row)
    for time_ns in range(300):
        writer.push(time_ns=time_ns, requests=0, errors=0, sent_bytes=0, connections=0, loop_lag_us=0)
    assert [sample.time_ns for sample in read_samples(row)] == list(range(44, 300))
    assert [sample.time_ns for sample in read_samples(row, since=298)] == [298, 299]
    assert [sample.number for sample in read_samples(row, since=299)] == [299]
    assert read_samples(row, since=300) == []


def test_a_sample_of_an_earlier_owner_tells_so(segment: Segment) -> None:
    """A rate is never worked out between two processes."""
    for generation in (1, 2):
        row = segment.claim(kind=Kind.WORKER, generation=generation, slot=0, now_ns=1)
        SampleWriter(row).push(
            time_ns=generation, requests=0, errors=0, sent_bytes=0, connections=0, loop_lag_us=0
        )
        row.release()
    assert [(s.claim, s.generation) for s in read_samples(segment.row(0))] == [(1, 1), (2, 2)]
