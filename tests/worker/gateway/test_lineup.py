"""Who may get requests, with which weight."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway.lineup import WARM_SHARE_MIN, Contender, Lineup, Rules, line_up

A, B, C, D = (Contender(f"10.0.0.{each}:80") for each in range(1, 5))
RULES = Rules(panic_threshold=0.5, slow_start_s=30.0)


def down(contender: Contender) -> Contender:
    return contender._replace(is_up=False)


def backup(contender: Contender) -> Contender:
    return contender._replace(priority=1)


def weights(*contenders: Contender, rules: Rules = RULES, now_s: float = 1000.0) -> tuple[float, ...]:
    return line_up(contenders, rules, now_s).weights


def test_those_that_are_up_get_requests_by_their_weights() -> None:
    """
    A server that is down keeps its share in the long run: a hash would move else.
    """
    heavy = A._replace(weight=5)
    lineup = line_up((heavy, down(B), C, D), RULES, 1000.0)

    assert lineup.weights == (5, 0, 1, 1)
    assert lineup.shares == (5, 1, 1, 1)
    assert lineup.candidates == [0, 2, 3]
    assert lineup.stays == (True, False, True, True)
    assert not lineup.is_panic


def test_with_too_few_up_health_is_ignored() -> None:
    """
    By weight: exactly at the threshold it is not.
    """
    assert weights(A, down(B)) == (1, 0)
    lineup = line_up((A, down(B), down(C)), RULES, 1000.0)
    assert lineup.is_panic
    assert lineup.weights == (1, 1, 1)
    assert weights(A._replace(weight=2), down(B), down(C)) == (2, 0, 0)
    assert weights(down(A)) == (1,)


def test_servers_that_failed_requests_stay_out_of_a_panic() -> None:
    """
    Only checks can be mistaken. With none to ignore it is no panic; if all failed, all get requests.
    """
    failed = [down(each)._replace(is_ejected=True) for each in (A, B, C)]
    lineup = line_up((*failed[:2], down(C), D), RULES, 1000.0)
    assert lineup.is_panic
    assert lineup.weights == (0, 0, 1, 1)
    assert lineup.shares == (1, 1, 1, 1)
    lineup = line_up((*failed, D), RULES, 1000.0)
    assert not lineup.is_panic
    assert lineup.weights == (0, 0, 0, 1)
    assert weights(*failed) == (1, 1, 1)


def test_panic_can_be_switched_off() -> None:
    """
    Then nobody gets requests when nobody is up.
    """
    rules = Rules(panic_threshold=0.0)
    assert weights(A, down(B), down(C), rules=rules) == (1, 0, 0)
    lineup = line_up((down(A), down(B)), rules, 1000.0)
    assert lineup.candidates == []
    assert not lineup.is_panic


def test_backups_wait_until_the_others_are_down() -> None:
    """
    Or so few are up that it would be a panic: a healthy backup is better than an unhealthy server.
    """
    rules = Rules(panic_threshold=0.0)
    assert weights(A, B, backup(C)) == (1, 1, 0)
    assert weights(A, down(B), backup(C)) == (1, 0, 0)
    assert weights(down(A), down(B), backup(C)) == (0, 0, 1)
    assert weights(down(A), down(B), backup(C), rules=rules) == (0, 0, 1)
    assert weights(A, down(B), down(D), backup(C)) == (1, 0, 0, 1)
    assert weights(A, down(B), down(D), backup(C), rules=rules) == (1, 0, 0, 0)
    assert weights(down(A), down(B), down(backup(C))) == (1, 1, 0)


def test_backups_that_are_up_are_reserves_while_it_is_not_their_turn() -> None:
    """
    By their priorities; of those that have nothing to wait for, none is.
    """
    third = backup(D)._replace(priority=2)
    assert line_up((A, backup(B), backup(C), third), RULES, 1000.0).reserves == ((1, 2), (3,))
    assert line_up((A, down(backup(B)), backup(C)._replace(weight=0), third), RULES, 1000.0).reserves == (
        (3,),
    )
    assert line_up((down(A), backup(B), third), RULES, 1000.0).reserves == ((2,),)
    assert line_up((down(A), down(backup(B))), RULES, 1000.0).reserves == ()


def test_priorities_come_in_their_order() -> None:
    """
    And those of a lower one stay when the next joins them.
    """
    third = C._replace(priority=7)
    assert weights(A, backup(B), third) == (1, 0, 0)
    assert weights(down(A), backup(B), third) == (0, 1, 0)
    assert weights(down(A), down(backup(B)), third) == (0, 0, 1)
    heavy = A._replace(weight=4)
    assert weights(heavy, down(D._replace(weight=5)), backup(B), third) == (4, 0, 1, 0)
    assert weights(A, down(D._replace(weight=5)), backup(B), third) == (1, 0, 1, 1)
    assert weights(down(A), down(backup(B)), down(third)) == (1, 0, 0)


def test_a_server_of_weight_0_keeps_its_clients_only() -> None:
    """
    Not even in a panic does it get new ones.
    """
    leaving = B._replace(weight=0)
    assert line_up((A, leaving), RULES, 1000.0).stays == (True, True)
    assert weights(A, leaving) == (1, 0)
    assert weights(down(A), leaving) == (1, 0)
    assert weights(down(A), leaving, backup(C)) == (0, 0, 1)


def test_a_server_that_came_back_gets_a_growing_part_of_its_weight() -> None:
    """
    Those that were there from the start have it at once.
    """
    back = B._replace(weight=10, up_since_s=1000.0)
    for now_s, weight in ((1000.0, 10 * WARM_SHARE_MIN), (1015.0, 5.0), (1030.0, 10)):
        lineup = line_up((A, back), RULES, now_s)
        assert lineup.weights == (1, weight)
        assert lineup.is_warming == (now_s < 1030)
    assert weights(A, back, rules=Rules(), now_s=1000.0) == (1, 10)


CONTENDERS = st.lists(
    st.builds(
        Contender,
        address=st.integers(0, 255).map(lambda each: f"10.0.0.{each}:80"),
        weight=st.integers(0, 5),
        priority=st.integers(0, 2),
        is_up=st.booleans(),
        up_since_s=st.sampled_from([0.0, 990.0, 1000.0]),
        is_ejected=st.booleans(),
    ).map(lambda each: each._replace(is_ejected=each.is_ejected and not each.is_up)),
    min_size=1,
    max_size=8,
    unique_by=lambda each: each.address,
)


@given(CONTENDERS, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 30.0]))
def test_whatever_the_servers_are(contenders: list[Contender], threshold: float, slow_s: float) -> None:
    """
    No server that is down is chosen but in a panic, and somebody is wherever somebody can be.
    """
    lineup: Lineup = line_up(contenders, Rules(threshold, slow_s), 1000.0)
    for each, weight, share in zip(contenders, lineup.weights, lineup.shares, strict=True):
        assert 0 <= weight <= share <= each.weight
        assert not weight or each.is_up or lineup.is_panic
        assert weight or not share or not each.is_up
    if lineup.is_panic:
        assert threshold > 0
        asked = zip(lineup.weights, lineup.shares, contenders, strict=True)
        assert len({weight > 0 for weight, share, each in asked if share and each.is_ejected}) <= 1
    if any(each.is_up and each.weight for each in contenders):
        assert lineup.candidates
    for index in (each for level in lineup.reserves for each in level):
        assert contenders[index].is_up
        assert not lineup.weights[index]


def test_a_server_may_come_back_a_moment_later_than_now() -> None:
    """
    Who found it well looked at the clock; the upstream's own is that of the last tick.
    """
    back = Contender("a", 1, 0, True, 1000.5)
    assert line_up([back, Contender("b", 1)], Rules(0.5, 0.0), 1000.0).weights == (1, 1)
