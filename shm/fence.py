"""
What a reader must do on machines that reorder loads and stores.

On x86 stores become visible in the order in which they were made, and loads are
made in theirs: nothing to do.
"""


def reader_fence() -> None:
    """Order the loads before this against those after it."""
