"""
The files of a folder, as what a route does.
"""

from pathlib import Path as FilePathOf
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import field

from penstock.master.config.kinds import kind
from penstock.master.config.record import FilePath, HeaderValue, Record, says


class Files(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files below a folder. What of the path is above them is the route's: all up to its last slash."""

    root: Annotated[FilePath, says("The folder.")]
    index: Annotated[
        FilePath | None, says("The file that stands for a folder; none: folders are not found.")
    ] = "index.html"
    precompressed: Annotated[
        bool,
        says("Send name.br, name.zst or name.gz beside a file if the client takes it and it is no older."),
    ] = True
    cache_control: Annotated[HeaderValue | None, says("The Cache-Control of every file. Default: none.")] = (
        None
    )
    follow_symlinks: Annotated[
        bool, says("Follow symlinks out of the folder. Default: only those that stay below it.")
    ] = False
    fallback: Annotated[
        FilePath | None,
        says("Sent, with 200, for what is not there: the page of a single-page app. Default: 404."),
    ] = None
    dotfiles: Annotated[
        bool,
        says("Also what begins with a dot, or lies in such a folder. Default: only what is in .well-known."),
    ] = False
    types: Annotated[
        dict[Annotated[str, kind("suffix")], HeaderValue],
        says("Content-Types by the ends of names, before the usual ones."),
    ] = field(default_factory=dict)


def files_fault(files: Files) -> tuple[str, str] | None:
    """Find what is wrong with a folder: the key and the message."""
    for key, name in (("index", files.index), ("fallback", files.fallback)):
        if name is not None and (
            name.startswith("/") or ".." in PurePosixPath(name).parts or name[-1] == "/"
        ):
            return key, f"found {name!r}, expected the name of a file below the folder"
    try:
        # A folder that cannot be looked into is told of as well.
        next(FilePathOf(files.root).iterdir(), None)
    except OSError as error:
        return "root", f"found {files.root!r}, expected a folder: {(error.strerror or str(error)).lower()}"
    return None
