"""`wsgi.file_wrapper`: an open file as a response."""

import io
import os
import stat
from typing import Any

from penstock.worker.limits import WSGI_FILE_BLOCK_BYTES


class FileWrapper:
    """
    Gives a file in blocks. An app, or a middleware around it, may also iterate
    over it; the size of its own choice then counts.
    """

    def __init__(self, filelike: Any, block_size: int = 8192) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def whole_size(self) -> int | None:
        """Tell how many bytes are to come; None if this is no plain file."""
        file = self.filelike
        if not isinstance(file, (io.BufferedReader, io.BufferedRandom, io.FileIO)):
            return (
                None  # What reads it in another way, such as a decompressor, may have a descriptor as well.
            )
        try:
            status = os.fstat(file.fileno())
            return max(0, status.st_size - file.tell()) if stat.S_ISREG(status.st_mode) else None
        except (OSError, ValueError):
            return None

    def in_large_blocks(self) -> "FileWrapper":
        """Read more at a time than the app asked for: each block is a hand-over to the loop."""
        self.block_size = max(self.block_size, WSGI_FILE_BLOCK_BYTES)
        return self
