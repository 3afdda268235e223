"""What is hidden is nowhere in a line, and that it was there still shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.redaction import USUALLY_HIDDEN, Redaction


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"", b""),
        (b"a=1", b"a=***"),
        (b"a=1&b=&c", b"a=***&b=***&***"),
        (b"a=1;b=2", b"a=***"),
        (b"a==b&&=c", b"a=***&&=***"),
        (b"token%3Dsecret", b"***"),
    ],
)
def test_values_of_a_query_are_hidden(query: bytes, shown: bytes) -> None:
    """
    The names stay, since they tell what was asked for.
    """
    assert Redaction().query(query) == shown
    assert Redaction([]).query(query) == query


@given(st.lists(st.tuples(st.sampled_from([b"a", b"", b"b;c"]), st.binary(min_size=1).map(bytes.hex))))
def test_no_value_is_left(pairs: list[tuple[bytes, str]]) -> None:
    """
    However it is put together.
    """
    query = b"&".join(name + b"=SECRET" + value.encode() for name, value in pairs)
    assert b"SECRET" not in Redaction().query(query)


def test_a_long_query_is_cut_before_it_is_looked_at() -> None:
    """
    Sixteen kilobytes of separators are no reason for a millisecond.
    """
    shown = Redaction().query(b"a=1&" * 4000)
    assert len(shown) < 2000
    assert shown.endswith(b"...")


@pytest.mark.parametrize("name", [each for each in USUALLY_HIDDEN if each != "query"])
def test_credentials_are_hidden(name: str) -> None:
    """
    Without being asked.
    """
    assert Redaction().header(name.encode(), b"secret") == b"***"
    assert Redaction([]).header(name.encode(), b"secret") == b"secret"


@pytest.mark.parametrize("name", [b"referer", b"location", b"content-location"])
def test_queries_within_headers_are_hidden(name: bytes) -> None:
    """
    A token in an address goes along in the Referer of the next request.
    """
    redacted = Redaction().header
    assert redacted(name, b"https://x/y?token=secret") == b"https://x/y?token=***"
    assert redacted(name, b"https://x/y#access_token=secret") == b"https://x/y#access_token=***"
    assert redacted(name, b"https://x/y#token=secret?z") == b"https://x/y#token=***"
    assert redacted(name, b"https://x/y?a#token=secret") == b"https://x/y?a#token=***"
    assert redacted(name, b"https://x/y") == b"https://x/y"
    assert Redaction(["cookie"]).header(name, b"/y?token=secret") == b"/y?token=secret"


def test_headers_of_ones_own_are_hidden() -> None:
    """
    In place of the default, so whoever names some says all.
    """
    redacted = Redaction(["X-Api-Key"]).header
    assert redacted(b"x-api-key", b"secret") == b"***"
    assert redacted(b"authorization", b"Bearer x") == b"Bearer x"
