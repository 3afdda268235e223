"""Accept-Encoding: what a client gets for what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.compression.negotiation import AS_IT_IS, Choice, choose, parse_weights
from penstock.worker.limits import ACCEPT_ENCODING_BYTES_MAX

OFFERED = ("zstd", "br", "gzip")

TABLE: list[tuple[bytes | None, Choice]] = [
    # Nothing said, nothing done.
    (None, AS_IT_IS),
    (b"", AS_IT_IS),
    (b"identity", AS_IT_IS),
    (b"compress, deflate", AS_IT_IS),
    # One that is known.
    (b"gzip", Choice("gzip")),
    (b"GZip", Choice("gzip")),
    (b"x-gzip", Choice("gzip")),
    (b"deflate, gzip;q=0.1", Choice("gzip")),
    # Ours to choose among equals, the client's otherwise.
    (b"gzip, deflate, br, zstd", Choice("zstd")),
    (b"gzip, deflate, br", Choice("br")),
    (b"gzip;q=1.0, br;q=0.9, zstd;q=0.1", Choice("gzip")),
    (b"gzip;q=0.8,br;q=0.8", Choice("br")),
    # Refused.
    (b"gzip;q=0", AS_IT_IS),
    (b"gzip;q=0.000, br", Choice("br")),
    (b"zstd;q=0, br;q=0, gzip;q=0", AS_IT_IS),
    # Anything.
    (b"*", Choice("zstd")),
    (b"*;q=0.5, gzip", Choice("gzip")),
    (b"zstd;q=0, *", Choice("br")),
    (b"*;q=0", Choice(None, refuses_identity=True)),
    (b"gzip, *;q=0", Choice("gzip", refuses_identity=True)),
    # Not coded at all.
    (b"identity;q=0", Choice(None, refuses_identity=True)),
    (b"gzip, identity;q=0", Choice("gzip", refuses_identity=True)),
    (b"identity;q=0, *", Choice("zstd", refuses_identity=True)),
    (b"identity;q=0.5, *;q=0", AS_IT_IS),
    (b"identity, gzip;q=0.5", AS_IT_IS),
    (b"identity;q=0.5, gzip", Choice("gzip")),
    (b"identity;q=0.5, gzip;q=0.5", Choice("gzip")),
    # White space, and what is not well formed.
    (b" gzip ;q=0.5 , br ; q=0.4 ", Choice("gzip")),
    (b"\tgzip;\tq=1", Choice("gzip")),
    (b"gzip;Q=0", AS_IT_IS),
    (b"gzip;q=2", AS_IT_IS),
    (b"gzip;q=-1, br", Choice("br")),
    (b"gzip;q=", AS_IT_IS),
    (b"gzip;q=0.1234", AS_IT_IS),
    (b"gzip;q=1.001", AS_IT_IS),
    (b"gzip;level=9", AS_IT_IS),
    (b"gzip br", AS_IT_IS),
    (b",,gzip,,", Choice("gzip")),
    (b"\xff\xfe, gzip", Choice("gzip")),
    # The first of two counts.
    (b"gzip;q=0, gzip", AS_IT_IS),
    (b"gzip, x-gzip;q=0", Choice("gzip")),
    # Too long to be looked at.
    (b"gzip," * ACCEPT_ENCODING_BYTES_MAX, AS_IT_IS),
]


@pytest.mark.parametrize(("accepted", "expected"), TABLE)
def test_a_client_gets_what_it_likes_best(accepted: bytes | None, expected: Choice) -> None:
    """
    By the letter of RFC 9110, and by nothing that is malformed.
    """
    assert choose(accepted, OFFERED) == expected


def test_what_is_not_offered_is_not_chosen() -> None:
    """
    The operator may have left it out.
    """
    assert choose(b"zstd, br, gzip;q=0.1", ("gzip",)) == Choice("gzip")
    assert choose(b"zstd, br", ("gzip",)) == AS_IT_IS
    assert choose(b"gzip, br", ("gzip", "br")) == Choice("gzip")


weights = st.integers(0, 1000)
lists = st.dictionaries(st.sampled_from((*OFFERED, "identity", "*", "deflate")), weights)


@given(lists)
def test_no_choice_is_worse_than_another(wanted: dict[str, int]) -> None:
    """
    What is chosen is accepted, and nothing that is offered is liked better.
    """
    accepted = ", ".join(f"{name};q={weight / 1000:.3f}" for name, weight in wanted.items()).encode()
    choice = choose(accepted, OFFERED)

    def weight(name: str) -> int:
        return wanted.get(name, wanted.get("*", 0))

    best = max(weight(name) for name in OFFERED)
    if choice.coding is None:
        assert best == 0 or wanted.get("identity", 0) > best
    else:
        assert weight(choice.coding) == best > 0
        assert best >= wanted.get("identity", 0)
    assert choice.refuses_identity == (wanted.get("identity", wanted.get("*", 1)) == 0)


@given(st.binary(max_size=200))
def test_no_bytes_raise(accepted: bytes) -> None:
    """
    They are a stranger's.
    """
    assert choose(accepted, OFFERED).coding in (None, *OFFERED)


@given(st.lists(st.sampled_from([b"gzip", b"br", b"*", b";q=0", b";q=1", b",", b" ", b"q", b"=", b"0.5"])))
def test_parts_in_any_order_are_weights_or_nothing(parts: list[bytes]) -> None:
    """
    Closer to the grammar than any bytes.
    """
    assert all(0.0 <= weight <= 1.0 for weight in parse_weights(b"".join(parts)).values())
