"""What is different from the last look, on a real file system."""

import importlib.util
import os
import py_compile
import shutil
from pathlib import Path

import pytest

from penstock.master.config.invocation import Invocation
from penstock.master.reloader.bytecode import forget_compiled
from penstock.master.reloader.plan import WatchPlan, has_events, plan_of
from penstock.master.reloader.sieve import Sieve
from penstock.master.reloader.survey import Survey


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path.resolve() / "src"
    (source / "shop").mkdir(parents=True)
    for name in ("main.py", "shop/item.py", "shop/page.html"):
        (source / name).write_text("x = 1\n")
    (source / "env" / "lib").mkdir(parents=True)
    (source / "env" / "pyvenv.cfg").write_text("")
    (source / "env" / "lib" / "site.py").write_text("")
    return source


def survey(folder: Path, *files: Path) -> Survey:
    plan = WatchPlan(roots=(str(folder),), files=tuple(map(str, files)))
    return Survey(plan, Sieve(plan))


def changed(survey: Survey, folder: Path) -> set[str]:
    return {os.path.relpath(each, folder) for each in survey.changes()}


def test_files_written_made_renamed_and_removed_have_changed(folder: Path) -> None:
    seen = survey(folder)
    assert changed(seen, folder) == set()

    (folder / "main.py").write_text("x = 22\n")
    (folder / "new.py").write_text("")
    assert changed(seen, folder) == {"main.py", "new.py"}
    (folder / "new.py").rename(folder / "newer.py")
    assert changed(seen, folder) == {"new.py", "newer.py"}
    (folder / "shop").rename(folder / "store")
    assert changed(seen, folder) == {"shop/item.py", "store/item.py"}
    shutil.rmtree(folder / "store")
    assert changed(seen, folder) == {"store/item.py"}
    assert changed(seen, folder) == set()


def test_what_does_not_count_has_not(folder: Path) -> None:
    """Nor has a file whose permissions are another."""
    seen = survey(folder)
    (folder / "shop" / "page.html").write_text("new")
    (folder / "env" / "lib" / "site.py").write_text("new")
    (folder / "main.py").chmod(0o600)
    (folder / "loop.py").symlink_to(folder / "loop.py")
    (folder / "shop" / "up").symlink_to(folder)
    assert changed(seen, folder) == set()


def test_a_file_that_was_exchanged_for_one_of_the_same_size_and_time_has(folder: Path) -> None:
    """A rename brings another file, whatever it says of itself."""
    seen = survey(folder)
    status = (folder / "main.py").stat()
    (folder / "main.tmp").write_text("y = 2\n")
    os.utime(folder / "main.tmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "main.tmp").rename(folder / "main.py")
    assert changed(seen, folder) == {"main.py"}


def test_what_was_written_before_anybody_looked_is_found(folder: Path) -> None:
    """Between the import of the code and the first look."""
    os.utime(folder / "shop" / "item.py", ns=(0, 1_000_000_000))
    seen = survey(folder)
    assert seen.newer(0, 2_000_000_000) == [str(folder / "shop" / "item.py")]
    assert seen.newer(1_000_000_000, 1_500_000_000) == []


def test_single_files_are_looked_at_by_themselves(folder: Path, tmp_path: Path) -> None:
    """A config file lies anywhere, is written anew by editors, and may be missing for a moment."""
    file = tmp_path / "p.yaml"
    file.write_text("workers: 1\n")
    seen = survey(folder, file)
    assert seen.changed_files() == []
    file.write_text("workers: 22\n")
    assert seen.changed_files() == [str(file)]
    file.unlink()
    assert seen.changed_files() == [str(file)]
    assert seen.changed_files() == []
    file.write_text("workers: 1\n")
    assert seen.changed_files() == [str(file)]
    assert seen.holds(str(folder / "shop"))
    assert not seen.holds(str(folder / "sho"))


def test_a_root_that_is_not_there_is_empty(folder: Path) -> None:
    """A branch without it may be checked out."""
    seen = survey(folder / "gone")
    (folder / "gone").mkdir()
    (folder / "gone" / "a.py").write_text("")
    assert changed(seen, folder) == {"gone/a.py"}


def test_the_plan_tells_files_directories_and_patterns_apart(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    options = {
        "reload": ("true",),
        "reload_include": ("*.html", "./shop/page.html", "shop", "extra.txt", ".*"),
        "reload_exclude": ("env", "./main.py", "*_test.py", "~*"),
        "env_file": ("vars",),
    }
    invocation = Invocation(options, "main:app", directory=str(tmp_path))
    (tmp_path / "vars").write_text("")
    plan = plan_of(invocation.load({}), invocation)

    assert plan is not None
    assert plan.roots == (str(folder), str(folder / "shop"))
    assert plan.files == (str(folder / "shop" / "page.html"), str(tmp_path.resolve() / "vars"))
    assert plan.includes == ("*.py", "*.html", "extra.txt", ".*")
    assert plan.excludes == (".py[cod]", ".sw.*", "~*", "*_test.py")
    assert plan.excluded_paths == (str(folder / "env"), str(folder / "main.py"))
    assert plan_of(Invocation(app="main:app").load({}), invocation) is None


def test_polling_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By our option, and by the variable that people have set already."""
    invocation = Invocation({"reload": ("true",), "reload_engine": ("poll",)}, "main:app")
    plan = plan_of(invocation.load({}), invocation)
    assert plan is not None
    assert plan.how == "polling"

    assert has_events()
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    assert not has_events()


def test_compiled_code_of_a_changed_file_is_forgotten(folder: Path) -> None:
    """It would be taken for current after an edit in the same second that leaves the size as it was."""
    main = str(folder / "main.py")
    compiled = Path(importlib.util.cache_from_source(main))
    py_compile.compile(main)
    assert compiled.exists()
    forget_compiled([main, str(folder / "shop" / "page.html"), str(folder / "gone.py")])
    assert not compiled.exists()


def test_what_is_looked_at_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of data is not the code; what lies near the top is looked at first."""
    assert not survey(folder).is_cut
    monkeypatch.setattr("penstock.master.reloader.survey.DIRECTORIES_MAX", 1)
    cut = survey(folder)
    assert cut.is_cut
    (folder / "main.py").write_text("x = 22\n")
    (folder / "shop" / "item.py").write_text("x = 22\n")
    assert changed(cut, folder) == {"main.py"}
