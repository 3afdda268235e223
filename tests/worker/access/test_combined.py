"""The fast way and the careful way write the same line."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.atoms import COMBINED, compile_format
from penstock.worker.access.combined import combined_line
from penstock.worker.access.redaction import USUALLY_HIDDEN, Redaction
from tests.worker.access.entries import entry

PLAIN = st.sampled_from([b"/", b"/a/b", b"page=3&token=x", b"curl/8", b"-", b""])
ANY = st.one_of(
    PLAIN, PLAIN, st.binary(max_size=40), st.binary(min_size=1, max_size=2).map(lambda part: part * 800)
)
NAMES = st.sampled_from([b"user-agent", b"referer", b"authorization", b"cookie", b"host"])
REDACTIONS = st.lists(st.sampled_from([*USUALLY_HIDDEN, "user-agent", "referer"])).map(Redaction)


@given(
    redaction=REDACTIONS,
    made=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["GET", "M-SEARCH", "", "get", "G T"]),
            "version": st.sampled_from(["1.1", "1.0", "", 'x"']),
            "path": ANY,
            "query": ANY,
            "headers": st.lists(st.tuples(NAMES, ANY), max_size=5),
            "client": st.sampled_from([None, ("127.0.0.1", 1), ("fe80::1%eth0", 2)]),
            "sent_bytes": st.sampled_from([0, 512]),
        }
    ),
)
def test_it_is_the_combined_format(redaction: Redaction, made: dict[str, object]) -> None:
    """
    To the letter, whatever is in it and whatever is hidden.
    """
    given_entry = entry(**made)
    careful = compile_format(COMBINED, redaction, pid=1, slot=0)
    assert combined_line(redaction, pid=1, slot=0)(given_entry) == careful(given_entry)
