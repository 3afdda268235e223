"""The board shows what is in flight, and nothing that is half written."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shm import board
from penstock.shm.board import BoardWriter, method_tag, read_board, route_tag, with_server
from penstock.shm.schema import BOARD_ENTRY_COUNT, BOARD_ENTRY_WORDS


@pytest.fixture
def words() -> memoryview:
    """An empty board."""
    return memoryview(bytearray(BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS * 8)).cast("Q")


def test_entry_tells_what_was_asked_and_how_far_it_is(words: memoryview) -> None:
    """From its begin to its end, and not after it."""
    writer = BoardWriter(words)
    entry = writer.begin(route_tag(77) | method_tag("POST"), 5_000, b"/a/b")
    assert entry is not None
    [active] = read_board(words)
    assert (active.state, active.method, active.route) == ("asked", "POST", 77)
    assert (active.started_ns, active.sent_bytes, active.path) == (5_000, 0, b"/a/b")

    writer.go_on(entry, board.STREAMING, 1234)
    [active] = read_board(words)
    assert (active.state, active.sent_bytes, active.method, active.route) == ("streaming", 1234, "POST", 77)

    writer.go_on(entry, board.STREAMING, with_server(99, 524_287))
    [active] = read_board(words)
    assert (active.sent_bytes, active.server, active.state) == (99, 524_287, "streaming")
    writer.go_on(entry, board.STREAMING, with_server(2**50, 7))
    [active] = read_board(words)
    assert (active.sent_bytes, active.server) == (2**44 - 1, 7)

    writer.end(entry)
    assert list(read_board(words)) == []


@given(st.binary(max_size=200), st.text(max_size=12), st.integers(0, 2**32 - 1))
def test_any_path_and_method_fit(path: bytes, method: str, route: int) -> None:
    """What is too long is cut; what is no usual method has no name."""
    words = memoryview(bytearray(BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS * 8)).cast("Q")
    BoardWriter(words).begin(route_tag(route) | method_tag(method), 1, path)
    [active] = read_board(words)
    assert active.path == path[: board.PATH_BYTES_MAX].rstrip(b"\0")
    assert active.method == (method if method in board.METHODS else "")
    assert active.route == route


def test_full_board_takes_no_more_and_frees_again(words: memoryview) -> None:
    """The request is served all the same; it is just not shown."""
    writer = BoardWriter(words)
    entries = [writer.begin(method_tag("GET"), 1 + number, b"/") for number in range(BOARD_ENTRY_COUNT)]
    assert len(set(entries)) == BOARD_ENTRY_COUNT
    assert writer.begin(method_tag("GET"), 1, b"/") is None
    first = entries[0]
    assert first is not None
    writer.end(first)
    assert writer.begin(method_tag("GET"), 1, b"/") == first
    assert len(list(read_board(words))) == BOARD_ENTRY_COUNT


def test_entry_that_changes_while_it_is_read_is_left_out() -> None:
    """Half of one request and half of another would be a request that nobody made."""

    class Restless:
        """Words that change between two looks."""

        def __init__(self, words: memoryview) -> None:
            self.words = words

        def __len__(self) -> int:
            return len(self.words)

        def __getitem__(self, key: int | slice) -> int | memoryview:
            if isinstance(key, slice):
                self.words[key.start + board.SENT_BYTES] += 1
            return self.words[key]

    words = memoryview(bytearray(BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS * 8)).cast("Q")
    BoardWriter(words).begin(method_tag("GET"), 1, b"/")
    assert list(read_board(Restless(words))) == []  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=16, max_size=16))
def test_rubbish_on_the_board_harms_nobody(entry: list[int]) -> None:
    """Whatever its owner has scribbled."""
    words = memoryview(bytearray(BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS * 8)).cast("Q")
    for index, word in enumerate(entry):
        words[index] = word
    found: Iterator[board.Active] = read_board(words)
    assert len(list(found)) <= 1


def test_board_of_another_release_may_be_missing() -> None:
    """An empty section has no entries, and takes none."""
    nothing = memoryview(b"").cast("Q")
    assert list(read_board(nothing)) == []
