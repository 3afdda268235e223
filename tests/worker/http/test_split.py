"""Requests are shared by weight, the same key always has the same variant, and few keys move."""

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.matching import Asked
from penstock.worker.http.split import Split, Variant, key_of

KEYS = [b"key-%d" % number for number in range(4000)]


def split(*weights: int, seed: str = "s", names: str = "abcdefgh") -> Split[str]:
    return Split(
        "client", seed, [Variant(name, weight, name) for name, weight in zip(names, weights, strict=False)]
    )


def shares(made: Split[str]) -> dict[str, float]:
    chosen = [made.choose_by(key) for key in KEYS]
    return {name: chosen.count(name) / len(KEYS) for name in set(chosen)}


@pytest.mark.parametrize("weights", [(1, 1), (90, 10), (95, 4, 1), (1, 2, 3, 4)])
def test_each_variant_has_its_share(weights: tuple[int, ...]) -> None:
    """
    Of many keys; the deviation allowed is five times the usual one.
    """
    found = shares(split(*weights))
    for name, weight in zip("abcd", weights, strict=False):
        part = weight / sum(weights)
        assert abs(found.get(name, 0.0) - part) < 5 * (part * (1 - part) / len(KEYS)) ** 0.5


@given(st.lists(st.integers(0, 100), min_size=2, max_size=5).filter(any), st.data())
def test_a_weight_that_grows_only_takes(weights: list[int], data: st.DataObject) -> None:
    """
    No key moves between the others, and none leaves the one that grows.
    """
    index = data.draw(st.integers(0, len(weights) - 1))
    grown = [
        weight + (data.draw(st.integers(1, 50)) if at == index else 0) for at, weight in enumerate(weights)
    ]
    before, after = split(*weights), split(*grown)
    for key in KEYS[:200]:
        was, becomes = before.choose_by(key), after.choose_by(key)
        assert becomes in {was, "abcdefgh"[index]}


def test_order_and_others_do_not_matter_to_a_named_variant() -> None:
    """
    A file that is tidied up moves nobody.
    """
    one = Split("client", "s", [Variant("a", 3, "a"), Variant("b", 1, "b")])
    other = Split("client", "s", [Variant("b", 1, "b"), Variant("c", 0, "c"), Variant("a", 3, "a")])

    assert all(one.choose_by(key) == other.choose_by(key) for key in KEYS)


def test_another_process_chooses_the_same() -> None:
    """
    Every worker, and every one after a restart: nothing of a process is in the hash.
    """
    program = (
        "from penstock.worker.http.split import Split, Variant\n"
        "made = Split('client', 's', [Variant('a', 2, 'a'), Variant('b', 1, 'b')])\n"
        "print(''.join(made.choose_by(b'key-%d' % number) for number in range(200)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert told.stdout.strip() == "".join(split(2, 1).choose_by(key) for key in KEYS[:200])


def test_two_splits_share_independently() -> None:
    """
    Who is in the one canary is not therefore in the other.
    """
    first, second = split(1, 1, seed="x"), split(1, 1, seed="y")
    same = sum(first.choose_by(key) == second.choose_by(key) for key in KEYS)

    assert 0.4 < same / len(KEYS) < 0.6


def test_without_a_key_any_variant_is_chosen_by_weight() -> None:
    """
    Not always the same one: it would get all the newcomers.
    """
    random.seed(7)
    made = split(3, 1)
    chosen = [made.choose(Asked("GET", b"h", "/")) for _ in range(2000)]

    assert 0.7 < chosen.count("a") / 2000 < 0.8


HEADERS = [(b"x-user", b"u1"), (b"cookie", b'a=1; session="s 1"; b=2'), (b"cookie", b"late=3")]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("client", b"192.0.2.1"),
        ("header:X-User", b"u1"),
        ("header:X-Other", b""),
        ("cookie:session", b"s 1"),
        ("cookie:late", b"3"),
        ("cookie:sess", b""),
        ("cookie:Session", b""),
        ("random", b""),
    ],
)
def test_a_key_is_read_from_the_request(key: str, found: bytes) -> None:
    """
    The port of a client changes with each connection, so it is no part of it.
    """
    assert key_of(key)(Asked("GET", b"h", "/", headers=HEADERS, client=("192.0.2.1", 5))) == found
    assert key_of("client")(Asked("GET", b"h", "/")) == b""
