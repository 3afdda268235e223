"""What is told once, though it happens again and again."""

from penstock.worker.limits import COMPLAINT_KINDS_MAX, COMPLAINT_PERIOD_S
from penstock.worker.tls.complaints import Complaints


def test_first_of_a_kind_is_told_and_the_rest_is_counted() -> None:
    """
    So a scanner writes a line a minute, and one sees how busy it is.
    """
    complaints = Complaints()

    assert complaints.judge("a", 100.0) == "a"
    assert complaints.judge("a", 100.1) is None
    assert complaints.judge("b", 100.2) == "b"
    assert complaints.judge("a", 101.0) is None
    told = complaints.judge("a", 100.0 + COMPLAINT_PERIOD_S)
    assert told == "a (2 more like this since it was last said)"
    assert complaints.judge("a", 100.0 + 2 * COMPLAINT_PERIOD_S) == "a"


def test_kinds_are_not_kept_without_end() -> None:
    """
    Some are made of what clients send.
    """
    complaints = Complaints()
    for index in range(10 * COMPLAINT_KINDS_MAX):
        assert complaints.judge(str(index), 0.0) is not None

    assert len(complaints._kinds) <= COMPLAINT_KINDS_MAX
