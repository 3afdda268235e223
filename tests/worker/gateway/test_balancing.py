"""Which server gets a request: in turn, at random, by load or by response times."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway.balancing import NOBODY, RoundRobin, chooser_of
from penstock.worker.gateway.ewma import Latency
from penstock.worker.limits import BALANCE_ROUND_MAX, LATENCY_DECAY_S
from tests.worker.gateway.asking import BALANCERS, UNTRIED, Backend, Request, asks, balancer, group

WEIGHTS = st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any)


def shares(name: str, weights: list[float], count: int = 20_000) -> list[float]:
    """Choose many times, and return which part each server got."""
    choose = chooser_of(balancer(name, [Backend() for _ in weights]), group(weights))
    found = Counter(choose(UNTRIED, asks(b"/%d" % number)) for number in range(count))
    return [found[index] / count for index in range(len(weights))]


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("weights", [[1, 1, 1], [5, 1, 2], [1, 3], [7, 0, 1, 2], [0.5, 1, 2.5], [1000, 999]])
def test_servers_get_requests_by_their_weights(name: str, weights: list[float]) -> None:
    """
    When none is busy, with every balance that goes by weights.
    """
    if name == "consistent_hash":
        weights = [int(weight + 0.5) for weight in weights]  # It has no use for others.
    total = sum(weights)
    expected = [weight / total for weight in weights]
    for share, wanted in zip(shares(name, weights), expected, strict=True):
        assert share == pytest.approx(wanted, abs=0.015)
        assert wanted or not share


@given(st.sampled_from(BALANCERS), WEIGHTS, st.sets(st.integers(0, 7)), st.integers(0, 2**32))
def test_no_server_of_weight_0_is_chosen_and_none_twice(
    name: str, weights: list[int], tried: set[int], seed: int
) -> None:
    """
    Unless all that may be chosen were tried.
    """
    backends = [Backend(busy_count=seed >> index & 3) for index in range(len(weights))]
    choose = chooser_of(balancer(name, backends, seed), group(weights))
    allowed = {index for index, weight in enumerate(weights) if weight}
    for number in range(20):
        assert choose(UNTRIED, asks(b"/%d" % number)) in allowed
        assert choose(tried, asks(b"/%d" % number)) in (allowed - tried or allowed)


@pytest.mark.parametrize("name", BALANCERS)
def test_nobody_is_chosen_when_nobody_may_be(name: str) -> None:
    """
    Who asks has to say so to the client.
    """
    choose = chooser_of(balancer(name, [Backend()]), group([0, 0], shares=[1, 1]))
    assert choose(UNTRIED, Request()) == NOBODY


@given(WEIGHTS.filter(lambda weights: sum(map(bool, weights)) > 1), st.integers(0, 2**32))
def test_a_round_is_exact_and_smooth(weights: list[int], seed: int) -> None:
    """
    However far one looks, no server is more than a turn of every other ahead of its share, or behind.
    """
    choose = chooser_of(balancer("round_robin", [], seed), group(weights))
    total = sum(weights)
    count = sum(map(bool, weights))
    found = [choose(UNTRIED, Request()) for _ in range(2 * total)]
    for index, weight in enumerate(weights):
        assert found[:total].count(index) == weight
        got = 0
        for turn, each in enumerate(found, 1):
            got += each == index
            assert abs(got - turn * weight / total) <= count


def test_a_heavy_server_is_not_chosen_over_and_over() -> None:
    """
    As with nginx: five, one and one are mixed.
    """
    balance = RoundRobin(lambda: 0.0)
    choose = chooser_of(balance, group([5, 1, 1]))
    assert [choose(UNTRIED, Request()) for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@pytest.mark.parametrize("weights", [[1.5, 0.25, 3], [1000, 999, 998]])
def test_weights_without_a_short_round_are_mixed_as_requests_come(weights: list[float]) -> None:
    """
    And what is owed outlives a change of them, wherever the servers stand in the list then.
    """
    assert sum(weights) > BALANCE_ROUND_MAX or any(weight != int(weight) for weight in weights)
    balance = RoundRobin(lambda: 0.0)
    total = sum(weights)
    found: Counter[str] = Counter()
    names = ["a:1", "b:1", "c:1"]
    for turn in range(300):
        names = names[1:] + names[:1]
        weights = weights[1:] + weights[:1]
        lineup = group(weights, addresses=names)
        found[names[chooser_of(balance, lineup)(UNTRIED, Request())]] += 1
        for name, weight in zip(names, weights, strict=True):
            assert abs(found[name] - (turn + 1) * weight / total) <= 2


def test_workers_do_not_begin_with_the_same_server() -> None:
    """
    A hundred workers that have just started would send their first request there.
    """
    first = {
        chooser_of(balancer("round_robin", [], seed), group([1] * 4))((), Request()) for seed in range(40)
    }
    assert first == {0, 1, 2, 3}


def test_who_is_busy_gets_less() -> None:
    """
    Counted by weight: a server of weight 3 may be busy with three times as much.
    """
    backends = [Backend(), Backend(), Backend()]
    choose = chooser_of(balancer("least_request", backends), group([1, 1, 3]))
    for _ in range(1000):
        backends[choose(UNTRIED, Request())].busy_count += 1
    busy = [each.busy_count for each in backends]
    assert busy == [pytest.approx(200, abs=12), pytest.approx(200, abs=12), pytest.approx(600, abs=24)]


def test_a_server_that_is_stuck_gets_nothing_more() -> None:
    """
    Of two that are drawn it is never the one that is busy with less.
    """
    backends = [Backend(busy_count=50), Backend(), Backend()]
    choose = chooser_of(balancer("least_request", backends), group([1, 1, 1]))
    assert {choose(UNTRIED, Request()) for _ in range(1000)} == {1, 2}


def test_who_answers_sooner_gets_more() -> None:
    """
    Until it is so busy that one more request would take as long there.
    """
    backends = [Backend(), Backend()]
    backends[0].latency.observe(1e6, 1)
    backends[1].latency.observe(4e6, 1)
    choose = chooser_of(balancer("ewma", backends), group([1, 1]))
    assert {choose(UNTRIED, Request()) for _ in range(100)} == {0}
    for _ in range(500):
        backends[choose(UNTRIED, Request())].busy_count += 1
    assert backends[0].busy_count == pytest.approx(400, abs=5)


def test_of_a_new_server_nothing_is_believed() -> None:
    """
    As the quickest it would get everything until its first answer.
    """
    backends = [Backend(), Backend(), Backend()]
    backends[0].latency.observe(1e6, 1)
    backends[1].latency.observe(3e6, 1)
    chooser_of(balancer("ewma", backends), group([1, 1, 1]))
    assert backends[2].latency.ns == 2e6


def test_a_slow_answer_counts_at_once_and_is_forgotten_in_time() -> None:
    """
    By quicker answers, or because nobody asks.
    """
    latency = Latency()
    second_ns = 1e9
    latency.observe(1e6, second_ns)
    latency.observe(500e6, 2 * second_ns)
    assert latency.ns == 500e6
    decay_ns = LATENCY_DECAY_S * second_ns
    latency.observe(1e6, 2 * second_ns + decay_ns)
    assert latency.ns == pytest.approx(1e6 + 499e6 / math.e)
    kept = latency.ns
    latency.rest(2 * second_ns + decay_ns)  # It was asked since the last time.
    assert latency.ns == kept
    latency.rest(2 * second_ns + 3 * decay_ns)
    assert latency.ns == pytest.approx(kept / math.e**2)


def test_a_failure_makes_no_server_quick() -> None:
    """
    One that refuses at once would draw all requests.
    """
    latency = Latency()
    latency.observe(1e6, 1)
    latency.failed(10)
    assert latency.ns == 1e6
    latency.failed(30e9)
    assert latency.ns == 30e9
