"""`penstock check` and `penstock schema`, as real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE_S = 30

APP = """
async def app(scope, receive, send):
    pass


def make():
    return app


number = 5
"""


def penstock(directory: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "penstock", *words],
        cwd=directory,
        env=inherited | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(APP)
    (tmp_path / "raises.py").write_text("raise RuntimeError('no database')\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(7)\n")
    (tmp_path / "p.yaml").write_text(
        "listeners:\n"
        "  - bind: 127.0.0.1:1\n"
        "    routes:\n"
        "      - {match: {path: /made}, app: 'good:make', factory: true}\n"
        "      - {match: {path: /ping}, respond: {body: pong}}\n"
        "      - {app: 'good:app'}\n"
    )
    return tmp_path


def test_a_good_file_is_summed_up(home: Path) -> None:
    """
    Exit 0, one line, and nothing bound: port 1 could be bound by root alone.
    """
    done = penstock(home, "check", "-c", "p.yaml")

    assert (done.returncode, done.stdout, done.stderr) == (0, "config ok: 1 listener, 3 routes, 2 apps\n", "")


def test_an_app_alone_can_be_checked(home: Path) -> None:
    """
    Without a file; and the welcome service without anything.
    """
    for words in (["good:app"], ["good:make", "--factory"], []):
        done = penstock(home, "check", *words)
        assert (done.returncode, done.stdout) == (0, "config ok: 1 listener, 1 route, 1 app\n"), done.stderr


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("goood:app", "cannot import 'goood:app': no module named 'goood'"),
        ("good:ap", "good has no attribute 'ap'; did you mean 'app'?"),
        ("good:number", "'good:number' is an int, not an application that can be called"),
        ("raises:app", "raises raised RuntimeError: no database"),
        ("leaves:app", "leaves called sys.exit(7)"),
    ],
)
def test_an_app_that_cannot_be_imported_is_exit_3(home: Path, app: str, told: str) -> None:
    """
    The configuration is right, the app is not: another status than a mistake in the file.
    """
    done = penstock(home, "check", app)

    assert done.returncode == 3
    assert told in done.stderr
    assert done.stdout == ""


def test_the_traceback_of_an_app_leads_to_the_line_that_raised(home: Path) -> None:
    """
    One line says what, and the user's own lines say where.
    """
    done = penstock(home, "check", "raises:app")

    assert 'raises.py", line 1' in done.stderr
    assert done.stderr.splitlines()[-1].startswith("cannot import 'raises:app'")


def test_all_apps_that_fail_are_told_at_once(home: Path) -> None:
    """
    As all faults of a file are.
    """
    (home / "p.yaml").write_text(
        "listeners: [{bind: ':1', routes: [{app: 'raises:app', match: {path: /a}}, {app: 'leaves:app'}]}]"
    )
    done = penstock(home, "check", "-c", "p.yaml")

    assert done.returncode == 3
    assert "no database" in done.stderr
    assert "sys.exit(7)" in done.stderr


def test_a_mistake_in_the_configuration_is_exit_2(home: Path) -> None:
    """
    And no app is imported for it.
    """
    (home / "good.py").write_text("print('imported')\n" + APP)
    done = penstock(home, "check", "good:app", "--workers", "x")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "--workers: found 'x', expected an integer from 1 to 1024 or 'auto'",
        "penstock: 1 problem; nothing was started",
    ]


def test_what_is_odd_is_warned_about(home: Path) -> None:
    """
    On standard error, with status 0.
    """
    (home / "p.yaml").write_text("listeners: [{bind: ':1', routes: [{app: 'good:app'}, {respond: {}}]}]")
    done = penstock(home, "check", "-c", "p.yaml", PENSTOCK_WORKRES="4")

    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "warning: PENSTOCK_WORKRES is not a variable of Penstock; did you mean 'PENSTOCK_WORKERS'?",
        "warning: p.yaml:1:54: listeners[0].routes[1]: never matches, "
        "because listeners[0].routes[0] takes all of its requests",
    ]


def test_directories_and_variables_are_in_force_before_anything_is_read(home: Path) -> None:
    """
    --env-file, then --chdir, then the file, then the app.
    """
    (home / "src" / "inner").mkdir(parents=True)
    (home / "good.py").rename(home / "src" / "inner" / "good.py")
    (home / ".env").write_text("PENSTOCK_CHDIR=src\nTARGET=good:app\n")
    (home / "p.yaml").write_text("app_dir: inner\nlisteners: [{bind: ':1', routes: [{app: '${TARGET}'}]}]")

    done = penstock(home, "check", "-c", "p.yaml", "--env-file", ".env")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_thread_that_an_app_leaves_running_does_not_hold_the_check(home: Path) -> None:
    """
    A hot restart waits for the check; it must come to an end.
    """
    (home / "good.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + APP
    )
    done = penstock(home, "check", "good:app")

    assert (done.returncode, done.stdout) == (0, "config ok: 1 listener, 1 route, 1 app\n")


def test_the_schema_is_printed(home: Path) -> None:
    """
    For `penstock schema > penstock.schema.json`.
    """
    done = penstock(home, "schema")

    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "Penstock configuration"


def test_none_of_it_leaves_anything_behind(home: Path) -> None:
    """
    No pidfile, no socket, no file of ours.
    """
    before = sorted(home.iterdir())
    penstock(
        home,
        "check",
        "-c",
        "p.yaml",
        "--pidfile",
        "x.pid",
        "--control",
        "x.sock",
        PYTHONDONTWRITEBYTECODE="1",
    )

    assert sorted(home.iterdir()) == before
