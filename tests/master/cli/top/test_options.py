"""Keys, and what they change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.top.options import SORTS, Key, Options, is_cut_short, keys_in, press


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", [Key.QUIT]),
        (b"\x1b", [Key.QUIT]),
        (b"\x03", [Key.QUIT]),
        (b"sS", [Key.SORT, Key.SORT_BACK]),
        (b"\x1b[A\x1bOB", [Key.UP, Key.DOWN]),
        (b"p?x\x0c", [Key.PAUSE, Key.HELP, Key.REDRAW]),
        (b"\x1bq", []),  # Alt-q
        (b"\x1b[15~\x1b[1;5A\x1bOP", []),
        (b"\x1b[200~quit\x1b[201~"[:6], []),
        (b"\x1b\x1b", [Key.QUIT, Key.QUIT]),
        (b"\xc3\xa9", []),
        (b"", []),
    ],
)
def test_keys_are_found_in_what_the_terminal_sends(data: bytes, keys: list[Key]) -> None:
    """
    An arrow begins with what Escape is, and must not quit.
    """
    assert keys_in(data) == keys


@pytest.mark.parametrize(
    ("data", "is_short"),
    [
        (b"\x1b", True),
        (b"\x1b[", True),
        (b"\x1b[1;5", True),
        (b"\x1bO", True),
        (b"\x1b[A", False),
        (b"q", False),
    ],
)
def test_a_sequence_that_may_go_on_is_waited_for(data: bytes, is_short: bool) -> None:
    """
    A slow line brings it in two parts.
    """
    assert is_cut_short(data) is is_short


@given(st.binary(max_size=40))
def test_anything_may_be_typed(data: bytes) -> None:
    """
    Somebody pastes a file.
    """
    options = Options()
    for key in keys_in(data):
        options = press(options, key, 3)
    assert options.sort in SORTS
    assert 0 <= options.skip < 3


def test_sorting_goes_round() -> None:
    """
    One key is enough for all.
    """
    options = Options(skip=5)
    seen = []
    for _ in SORTS:
        options = press(options, Key.SORT, 9)
        seen.append(options.sort)

    assert seen == [*SORTS[1:], SORTS[0]]
    assert options.skip == 0
    assert press(options, Key.SORT_BACK, 9).sort == SORTS[-1]


def test_pause_and_help_are_switches() -> None:
    """
    The same key leads back.
    """
    for key, name in ((Key.PAUSE, "is_paused"), (Key.HELP, "is_help")):
        pressed = press(Options(), key, 1)
        assert getattr(pressed, name)
        assert press(pressed, key, 1) == Options()
    assert press(Options(), Key.UP, 0).skip == press(Options(), Key.DOWN, 0).skip == 0
    assert press(Options(), Key.QUIT, 0) == Options()
