"""A traceback begins where the user's code does."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.worker.apps import AppImportError, load_app
from penstock.worker.tracebacks import exc_info, formatted, without_callers


def caught(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError


def imported(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "broken_app.py").write_text(source)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    error = caught(lambda: load_app("broken_app:app", app_dir=str(folder)))
    assert isinstance(error, AppImportError)
    assert error.__cause__ is not None
    return formatted(error.__cause__)


def test_an_import_that_fails_shows_the_users_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = imported(tmp_path, "def f():\n    raise RuntimeError('oops')\nf()\n", monkeypatch)

    assert text.count("  File ") == 2
    assert "broken_app.py" in text
    assert text.endswith("RuntimeError: oops\n")


def test_a_syntax_error_shows_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = imported(tmp_path, "x = 1\ny = (\n", monkeypatch)

    assert text.startswith("  File ")
    assert 'broken_app.py", line 2' in text


def test_what_never_leaves_the_server_is_shown_whole() -> None:
    """It is our own bug, or the lack of anything to call."""
    error = caught(lambda: 1 / 0)
    assert without_callers(error) is error.__traceback__

    ours = caught(lambda: load_app("", app_dir=None))
    assert "worker/apps.py" in formatted(ours)
    assert exc_info(ours)[:2] == (AppImportError, ours)
