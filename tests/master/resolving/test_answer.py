"""What answers of DNS mean."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.resolving.answer import (
    Service,
    of_addresses,
    of_services,
    pause_after,
    pause_after_failure,
)
from penstock.master.watched import ResolveSettings
from penstock.worker.messages import Found

SETTINGS = ResolveSettings()


def test_equal_answers_are_equal_in_any_order() -> None:
    """
    Name servers turn their answers round, and that is no news.
    """
    one = of_addresses(["10.0.0.2", "10.0.0.1", "10.0.0.2"], 80)
    assert one == of_addresses(["10.0.0.1", "10.0.0.2"], 80)
    assert one == (Found("10.0.0.1:80"), Found("10.0.0.2:80"))
    assert of_addresses(["::1"], 80) == (Found("[::1]:80"),)


def test_what_is_too_much_is_left_out() -> None:
    """
    The same ones each time.
    """
    many = [f"10.0.{each // 250}.{each % 250}" for each in range(1000)]
    assert len(of_addresses(many, 80)) == 256
    assert of_addresses(many, 80) == of_addresses(reversed(many), 80)


def test_records_of_one_server_are_one() -> None:
    """
    With their weights together, and the better priority.
    """
    services = [
        Service(10, 2, 80, "a"),
        Service(10, 3, 80, "b"),
        Service(20, 9, 80, "a"),
        Service(10, 0, 81, "a"),
    ]
    addresses = {"a": ["10.0.0.1"], "b": ["10.0.0.1", "10.0.0.2"]}
    assert of_services(services, addresses) == (
        Found("10.0.0.1:80", 5, 10),
        Found("10.0.0.1:81", 1, 10),
        Found("10.0.0.2:80", 3, 10),
    )
    assert of_services(services, {}) == ()


@given(
    st.lists(
        st.builds(
            Service, st.integers(0, 65535), st.integers(0, 65535), st.integers(1, 3), st.sampled_from("ab")
        )
    )
)
def test_weights_are_what_a_server_may_have(services: list[Service]) -> None:
    """
    Each server once, and none with a weight of nothing.
    """
    found = of_services(services, {"a": ["10.0.0.1", "::1"], "b": ["10.0.0.2"]})
    assert len({each.address for each in found}) == len(found)
    assert all(each.weight is not None and 1 <= each.weight <= 1000 for each in found)
    assert bool(found) == bool(services)
    assert [each.priority for each in found] == sorted(each.priority for each in found)


def test_an_answer_holds_as_long_as_it_says_within_reason() -> None:
    """
    Not for nothing, which would be asking without end, and not for ever.
    """
    assert pause_after(0.0, SETTINGS) == 1.0
    assert pause_after(30.0, SETTINGS) == 30.0
    assert pause_after(86400.0, SETTINGS) == 300.0


def test_pauses_after_failures_grow() -> None:
    """
    A name server in trouble is not helped by being asked more.
    """
    assert [pause_after_failure(each, SETTINGS) for each in (1, 2, 3, 9, 99_999)] == [
        1.0,
        2.0,
        4.0,
        30.0,
        30.0,
    ]
    assert pause_after_failure(9, ResolveSettings(max_ttl_s=5.0)) == 5.0
