"""Changes that come together are told of together, once, and soon enough."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.reloader.burst import BURST_S_MAX, PATHS_MAX, Burst

DELAY_S = 0.25


def test_a_change_is_due_when_nothing_follows() -> None:
    burst = Burst(DELAY_S)
    assert burst.due_s is None
    assert burst.take(10.0) == ([], 0)

    burst.note(["a.py.tmp", "a.py"], 10.0)
    burst.note(["a.py"], 10.1)
    assert burst.due_s == 10.35
    assert burst.take(10.3) == ([], 0), "an editor may not be done"
    assert burst.take(10.35) == (["a.py.tmp", "a.py"], 2)
    assert burst.due_s is None


def test_what_never_stops_is_told_of_all_the_same() -> None:
    """A generator of code that writes ten times a second must not keep the old code for ever."""
    burst = Burst(DELAY_S)
    now_s = 0.0
    while not burst.take(now_s)[0]:
        burst.note(["a.py"], now_s)
        now_s += 0.1
    assert BURST_S_MAX <= now_s <= BURST_S_MAX + 0.11


def test_a_checkout_of_thousands_is_counted_and_not_kept() -> None:
    burst = Burst(DELAY_S)
    burst.note((f"{index}.py" for index in range(PATHS_MAX + 500)), 1.0)
    paths, count = burst.take(2.0)
    assert (len(paths), count) == (PATHS_MAX, PATHS_MAX + 500)


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd"), max_size=3), st.floats(0.0, 1.0))))
def test_nothing_is_told_twice_or_lost_or_early(events: list[tuple[set[str], float]]) -> None:
    """Whatever comes when: each change is in the next telling, and tellings are far enough from changes."""
    burst, now_s = Burst(DELAY_S), 0.0
    pending: dict[str, float] = {}
    first_s = last_s = 0.0

    def tell() -> None:
        paths, count = burst.take(now_s)
        if paths:
            assert set(paths) == set(pending)
            assert count == len(pending)
            assert now_s - last_s >= DELAY_S - 1e-9 or now_s - first_s >= BURST_S_MAX - 1e-9
            pending.clear()

    for paths, pause_s in events:
        now_s += pause_s
        tell()
        if paths:
            first_s = first_s if pending else now_s
            last_s = now_s
            pending.update(dict.fromkeys(paths, now_s))
        burst.note(sorted(paths), now_s)
        assert (burst.due_s is None) == (not pending)
    now_s += BURST_S_MAX
    tell()
    assert not pending
