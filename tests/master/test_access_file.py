"""The file of an access log is opened by the master, and again when it is told to."""

import os
import stat
from pathlib import Path

import pytest

from penstock.master.access_file import AccessFile
from penstock.worker.spec import AccessSpec


def test_streams_and_no_log_have_no_file() -> None:
    assert AccessFile.of(None) is None
    assert AccessFile.of(AccessSpec(path="stdout")) is None
    assert AccessFile.of(AccessSpec(path="stderr")) is None


def test_file_is_opened_for_appending_and_not_for_everyone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    path.chmod(0o640)
    file = AccessFile.of(AccessSpec(path=str(path)))
    assert file is not None
    os.write(file.fd, b"after\n")
    assert path.read_bytes() == b"before\nafter\n"
    assert not os.get_inheritable(file.fd)
    file.close()
    file.close()


def test_path_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A reload goes to another directory; what the old workers write to stays where it is.
    """
    monkeypatch.chdir(tmp_path)
    file = AccessFile.of(AccessSpec(path="log"))
    assert file is not None
    assert file.path == str(tmp_path / "log")
    file.close()


def test_reopening_follows_the_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = AccessFile.of(AccessSpec(path=str(path)))
    assert file is not None
    before = file.fd
    path.rename(tmp_path / "log.1")
    file.reopen()
    os.write(file.fd, b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "log.1").read_bytes() == b""
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)


def test_what_cannot_be_opened_again_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log"
    path.parent.mkdir()
    file = AccessFile.of(AccessSpec(path=str(path)))
    assert file is not None
    path.parent.rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        file.reopen()
    os.write(file.fd, b"old\n")
    assert (tmp_path / "gone" / "log").read_bytes() == b"old\n"
    file.close()


def test_pipe_without_a_reader_is_opened(tmp_path: Path) -> None:
    """
    To open it for writing alone would wait for a reader.
    """
    path = tmp_path / "fifo"
    os.mkfifo(path)
    file = AccessFile.of(AccessSpec(path=str(path)))
    assert file is not None
    assert stat.S_ISFIFO(os.fstat(file.fd).st_mode)
    file.close()
