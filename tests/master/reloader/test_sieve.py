"""Which files count: decided by their path alone."""

from dataclasses import replace

import pytest

from penstock.master.reloader.plan import DEFAULT_EXCLUDES, DEFAULT_INCLUDES, WatchPlan
from penstock.master.reloader.sieve import Sieve

PLAN = WatchPlan(roots=("/src",))


def sieve(plan: WatchPlan = PLAN) -> Sieve:
    return Sieve(plan, is_environment=lambda directory: directory == "/src/env")


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("/src/main.py", True),
        ("/src/shop/models/item.py", True),
        ("/src/main.pyc", False),
        ("/src/main.py~", False),
        ("/src/4913", False),
        ("/src/.main.py.swp", False),
        ("/src/.#main.py", False),
        ("/src/~main.py", False),
        ("/src/page.html", False),
        ("/src/.git/hooks/main.py", False),
        ("/src/a/.venv/lib/main.py", False),
        ("/src/__pycache__/main.py", False),
        ("/src/web/node_modules/x/setup.py", False),
        ("/src/env/lib/python3.11/site-packages/x.py", False),
        ("/srcs/main.py", False),
        ("/main.py", False),
        ("main.py", False),
        ("", False),
    ],
)
def test_python_files_count_below_a_root(path: str, is_wanted: bool) -> None:
    """What editors leave beside them and what nobody edits does not."""
    assert sieve().wants(path) is is_wanted


@pytest.mark.parametrize(
    ("changes", "path", "is_wanted"),
    [
        ({"includes": ("*.py", "*.html")}, "/src/page.html", True),
        ({"includes": ("*.html",)}, "/src/main.py", False),
        ({"includes": ("templates/*.txt",)}, "/src/shop/templates/mail.txt", True),
        ({"includes": ("templates/*.txt",)}, "/src/shop/mail.txt", False),
        ({"includes": (".env",)}, "/src/.env", True),
        ({"includes": (".env*",)}, "/src/.env.local", False),
        ({"excludes": ("*_test.py",)}, "/src/item_test.py", False),
        ({"excludes": ("migrations",)}, "/src/shop/migrations/0001.py", False),
        ({"excludes": ("shop/item.py",)}, "/src/shop/item.py", False),
        ({"excludes": ()}, "/src/.hidden.py", True),
        ({"excluded_paths": ("/src/old",)}, "/src/old/main.py", False),
        ({"excluded_paths": ("/src/old",)}, "/src/older/main.py", True),
        ({"excluded_paths": ("/src/main.py",)}, "/src/main.py", False),
        ({"files": ("/etc/shop.yaml",)}, "/etc/shop.yaml", True),
        ({"files": ("/etc/shop.yaml",)}, "/etc/other.yaml", False),
        ({"roots": ("/src", "/src/.venv/lib/mine")}, "/src/.venv/lib/mine/a.py", True),
        ({"roots": ("/src", "/src/.venv/lib/mine")}, "/src/.venv/lib/other/a.py", False),
    ],
)
def test_patterns_and_paths_say_more(changes: dict[str, tuple[str, ...]], path: str, is_wanted: bool) -> None:
    """Whoever names something is taken at their word."""
    assert sieve(replace(PLAN, **changes)).wants(path) is is_wanted  # type: ignore[arg-type]


def test_a_directory_is_looked_at_again_when_that_is_asked_for() -> None:
    """It may have become a virtual environment since."""
    environments: set[str] = set()
    judge = Sieve(PLAN, is_environment=environments.__contains__)
    assert judge.wants("/src/new/main.py")

    environments.add("/src/new")
    assert judge.wants("/src/new/main.py"), "remembered"
    judge.forget()
    assert not judge.wants("/src/new/main.py")


def test_the_defaults_are_what_people_know() -> None:
    assert (DEFAULT_INCLUDES, DEFAULT_EXCLUDES) == (("*.py",), (".*", ".py[cod]", ".sw.*", "~*"))
