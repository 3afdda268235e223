"""The word that says how a server is."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.shm.verdict import Verdict, read_verdict, verdict_word


@given(st.text(), st.sampled_from(Verdict))
def test_what_is_written_is_read(address: str, verdict: Verdict) -> None:
    """
    By whoever asks about the same server.
    """
    assert read_verdict(verdict_word(address, verdict), address) is verdict


def test_a_word_about_another_server_says_nothing() -> None:
    """
    Words change hands when names stand for other servers.
    """
    assert read_verdict(verdict_word("10.0.0.1:80", Verdict.UNHEALTHY), "10.0.0.2:80") is Verdict.UNKNOWN


@given(st.integers(0, 2**64 - 1))
def test_nonsense_is_no_verdict(word: int) -> None:
    """
    A row may be damaged.
    """
    assert read_verdict(word, "10.0.0.1:80") in Verdict
    assert read_verdict(0, "10.0.0.1:80") is Verdict.UNKNOWN
