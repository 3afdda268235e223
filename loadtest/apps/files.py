"""Files that Starlette serves: index.html of a folder for each size."""

import tempfile
from pathlib import Path

from starlette.staticfiles import StaticFiles

FOLDER = tempfile.TemporaryDirectory(prefix="bench-files-")


def folder_of(name: str, size: int) -> StaticFiles:
    """Make a folder with a file of this size, and what serves it."""
    folder = Path(FOLDER.name) / name
    folder.mkdir()
    (folder / "index.html").write_bytes(b"x" * size)
    return StaticFiles(directory=folder, html=True)


file4k = folder_of("file4k", 4096)
file1m = folder_of("file1m", 1 << 20)
